"""Checks this machine or a cluster; every problem that it finds comes with a fix."""
