"""One trial: data, methods, the DeepSpeed engine, evaluation. Independent of sweeps, Ray Tune and MLflow."""
