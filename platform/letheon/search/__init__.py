"""The decisions of one search, for real and simulated sweeps. No Ray."""
