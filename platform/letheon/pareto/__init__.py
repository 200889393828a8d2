"""Pareto fronts: objectives, geometry, and the front of each forget fraction. Pure."""
