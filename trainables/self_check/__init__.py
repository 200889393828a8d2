"""Compares fast paths with the plain ones on a trial's model and rows; `runtime/fast_paths.py` keeps the results."""
