"""Rows of tokens as batches: padded or packed, and in which order."""
