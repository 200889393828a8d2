"""The benchmarks by name. Each is imported only when it is used."""
