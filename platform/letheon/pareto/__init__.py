"""Pareto fronts: objectives and goals, geometry, and the front of each forget fraction. Pure."""
