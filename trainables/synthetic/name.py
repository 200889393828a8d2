"""The name under which sweep files ask for the synthetic experiment."""

SYNTHETIC = "synthetic"
