"""Long-lived Ray Train workers that run one job after another."""
