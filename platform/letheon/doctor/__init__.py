"""Checks of this machine or cluster: each finding names its fix."""
