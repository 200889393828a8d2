"""Ray sessions, jobs and resources: what is there, and what fits."""
