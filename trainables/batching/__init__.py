"""Batches of token rows, padded or packed, and the order of rows."""
