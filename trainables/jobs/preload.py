"""Imports what jobs on models need, before the first job arrives."""

from __future__ import annotations

from trainables.runtime.imports import hidden


def preload() -> None:
    """Afterwards nothing of a trial or of what prepares one has to be imported any more."""
    # DeepSpeed's autotuner, which is never used, would import all of MLflow: three times as long as DeepSpeed itself.
    with hidden("mlflow"):
        import deepspeed  # noqa: F401
    # Transformers would import them for losses of object detection and for a cloud: a quarter of its own time.
    with hidden("boto3", "scipy"):
        import trainables.model.load
    import trainables.jobs.prepare  # noqa: F401 (all that they are for is to have been imported)
