"""The benchmarks, one module each, imported only when used."""
