"""Models: loading, copies, forward passes, adapters, compilation and memory."""
