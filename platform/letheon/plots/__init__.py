"""Figures of fronts and capacity as PNG. Importing this does not load matplotlib."""
