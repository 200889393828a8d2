"""Rows, splits, templates and files: what all benchmarks share."""
