"""Views of a running sweep: terminal screens, plain lines and Prometheus gauges."""
