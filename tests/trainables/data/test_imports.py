"""A sweep file's validation imports methods and benchmarks, and their pages are made without models: all are light."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("torch", "transformers", "datasets", "ray", "mlflow", "deepspeed", "numpy")
CODE = """
import sys
import trainables.methods, trainables.methods.pages
import trainables.data.benchmarks.registry, trainables.data.benchmarks.tofu
import trainables.data.fictional.generator, trainables.data.tokenization
from trainables.config import BenchmarkConfig
trainables.data.benchmarks.registry.fraction_problem(BenchmarkConfig(name="tofu"), 0.1)
trainables.data.benchmarks.registry.load_benchmark(BenchmarkConfig()).split(0.05)
trainables.methods.pages.pages()
print(*sorted(set(sys.modules) & set(sys.argv[1:])))
"""


def test_nothing_heavy_is_imported() -> None:
    path = ":".join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *HEAVY], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == []
