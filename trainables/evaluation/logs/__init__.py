"""Reads, writes and compares evaluation logs of open-unlearning and TOFU; loads no torch."""
