"""Web pages of sweeps: a live server, and the same pages as a single HTML file."""
