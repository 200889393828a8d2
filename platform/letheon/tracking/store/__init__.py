"""MLflow: connection, runs and artifacts. Independent of sweeps."""
