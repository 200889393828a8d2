"""Imports everything that jobs on models need, before the first job arrives."""

from __future__ import annotations

from trainables.runtime.imports import hide_packages


def preload() -> None:
    """Import all that trials and their preparation use."""
    # DeepSpeed's autotuner, which is never used, would import MLflow, which takes three times as long as DeepSpeed.
    with hide_packages("mlflow"):
        import deepspeed  # noqa: F401
    # Transformers would import these for object detection and cloud storage: a quarter of its import time.
    with hide_packages("boto3", "scipy"):
        import trainables.model.load
    # Imported for their side effect.
    import trainables.jobs.prepare
    import trainables.training.trial  # noqa: F401
