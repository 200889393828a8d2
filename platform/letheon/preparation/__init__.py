"""What a sweep needs before its first trial: models, baseline evaluations and data sets."""
