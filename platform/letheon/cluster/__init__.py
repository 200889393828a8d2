"""Ray sessions, cluster jobs, and how many trials fit on the available nodes and GPUs."""
