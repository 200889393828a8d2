"""Which configuration to try next. `letheon.tune` connects searchers to Ray Tune."""
