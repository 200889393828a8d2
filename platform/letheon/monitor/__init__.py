"""A sweep while it runs: folds that take each journal row once, and what terminals and gauges show of them."""
