"""Adapters between Ray Tune and Letheon's searcher, scheduler and workers."""
