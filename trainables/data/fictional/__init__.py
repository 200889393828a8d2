"""The embedded benchmark: fictional people, generated from a seed."""
