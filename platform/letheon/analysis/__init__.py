"""Answers from a sweep's journal: cost, time left, growth, importance, why a trial is not on the front. Pure."""
