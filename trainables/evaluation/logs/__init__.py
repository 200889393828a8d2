"""Evaluation logs of open-unlearning and TOFU: read, written, compared. Loads no torch."""
