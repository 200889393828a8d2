"""Web pages of sweeps: a live server, and the same pages as one HTML file."""
