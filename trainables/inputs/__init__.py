"""What the steps of a trial read: micro-batches, reference tables, alternative answers."""
