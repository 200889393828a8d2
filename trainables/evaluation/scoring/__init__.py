"""Teacher-forced passes: how likely a model finds given answers."""
