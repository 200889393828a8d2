"""The training loop of a trial: DeepSpeed engine, optimizer steps, epochs."""
