"""Evaluates a model on a split, as deeply as a decision needs."""
