"""What a model answers: greedy and sampled decoding."""
