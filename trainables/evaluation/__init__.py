"""Evaluates a model on a split, as deep as a decision needs. `evaluate` loads torch when it is called."""
