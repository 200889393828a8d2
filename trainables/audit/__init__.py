"""Attacks on one checkpoint: does what was forgotten come back? Importing the package loads no torch."""
