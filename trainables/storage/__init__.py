"""The folders of trials and checkpoints on disk, each complete or absent."""
