"""Reads sweeps back from MLflow, and pulls their checkpoints."""
