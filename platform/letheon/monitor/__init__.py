"""A sweep while it runs: terminal screens, plain lines and Prometheus gauges."""
