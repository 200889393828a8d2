"""Searchers: they choose the next configuration to try. `letheon.tune` connects them to Ray Tune."""
