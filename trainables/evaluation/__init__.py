"""What a model still knows: the metrics of every set of a benchmark, and their comparison with a retain model.

Loads no torch; `evaluate` does when it is called."""
