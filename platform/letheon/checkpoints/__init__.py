"""Select, verify and pull a checkpoint. Importing this loads neither MLflow nor torch."""
