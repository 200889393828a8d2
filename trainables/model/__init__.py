"""Models: loading, forward passes, adapters, memory."""
