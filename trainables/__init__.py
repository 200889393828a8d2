"""What one trial does: data, methods, the DeepSpeed engine, evaluation. Knows nothing of sweeps, Ray Tune or MLflow."""
