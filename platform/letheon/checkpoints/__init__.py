"""Which checkpoints to keep, which one to select, and how one is verified. Loads neither MLflow nor torch."""
