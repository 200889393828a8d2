"""What a sweep needs before its first trial: models, baselines and data."""
