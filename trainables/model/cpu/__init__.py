"""Faster layers for CPUs, used where they compute the same as the model's own."""
