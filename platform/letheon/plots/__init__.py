"""Figures of fronts and capacity as PNG, and the summary of a sweep. Importing it does not load matplotlib."""
