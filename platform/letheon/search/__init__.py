"""Sweeps in virtual time: recorded trajectories in the place of training, the real conductor in charge. No Ray."""
