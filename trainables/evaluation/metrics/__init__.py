"""Metrics as pure float64 functions, their catalog and their summary; loads no torch."""
