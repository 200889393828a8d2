"""Metrics as pure float64 functions, their catalog and their summary. Loads no torch."""
