"""Choosing, keeping and verifying checkpoints, without MLflow or torch."""
