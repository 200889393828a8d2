"""Greedy and sampled decoding: the answers that a model generates."""
