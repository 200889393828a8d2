"""The name of the synthetic experiment in sweep files."""

SYNTHETIC = "synthetic"
