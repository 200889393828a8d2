"""The MLflow store: connection, runs and artifacts. Independent of sweeps."""
