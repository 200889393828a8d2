"""Answers from a sweep's journal: cost, growth, importance, why a trial stopped. Pure."""
