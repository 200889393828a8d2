"""The jobs that a worker runs, as data, and the code that runs them."""
