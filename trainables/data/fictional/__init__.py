"""The embedded benchmark: people who never lived, generated from a seed."""
