"""Imports everything that jobs on models need, before the first job arrives."""

from __future__ import annotations

from trainables.runtime.imports import hide_packages

HIDDEN = ("boto3", "scipy", "sklearn")
"""Packages that transformers would import for object detection and cloud storage: a quarter of its import time. Without
SciPy, scikit-learn cannot be imported, and transformers 5.17 imports that wherever it is installed."""


def preload() -> None:
    """Import all that trials and their preparation use."""
    # DeepSpeed's autotuner, which is never used, would import MLflow, which takes three times as long as DeepSpeed.
    with hide_packages("mlflow"):
        import deepspeed  # noqa: F401
    with hide_packages(*HIDDEN):
        import trainables.model.load
    # Imported for their side effect.
    import trainables.jobs.prepare
    import trainables.training.trial  # noqa: F401
