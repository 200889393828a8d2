"""The inputs of a trial's steps: micro-batches, reference tables, alternative answers."""
