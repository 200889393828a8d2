"""MLflow records of a sweep: the only package that imports mlflow, and only inside functions."""
