"""The decisions of a search, for real and simulated sweeps. Imports no Ray."""
