"""The jobs that a worker runs: their specifications and the code for each."""
