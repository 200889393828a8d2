"""The worker process: ranks, channel to the driver, imports, events."""
