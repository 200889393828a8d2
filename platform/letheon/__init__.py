"""The sweep platform: from a sweep file to a Pareto front and a pulled checkpoint."""

__version__ = "0.1.0"
