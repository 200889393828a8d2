"""Teacher-forced passes: what a model thinks about given answers."""
