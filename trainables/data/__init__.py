"""What all benchmarks share: rows, splits, prompt templates, files."""
