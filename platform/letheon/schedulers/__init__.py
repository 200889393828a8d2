"""Which trials go on: pure decisions from reported metrics, and a thin adapter that lets Ray Tune ask for them.

Only `letheon.tune.scheduler` imports Ray."""
