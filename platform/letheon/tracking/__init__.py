"""Writes a sweep's journal to MLflow. Imports mlflow only inside functions."""
