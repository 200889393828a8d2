"""Folders of trials and checkpoints on disk: complete or absent."""
