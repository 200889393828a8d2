"""Workers import everything that jobs need before the first job, but not MLflow, which DeepSpeed would import."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from trainables.jobs.preload import preload
preload()
assert "mlflow" not in sys.modules, "MLflow was imported"
before = set(sys.modules)
import deepspeed, trainables.training.trial, trainables.jobs.prepare
assert set(sys.modules) == before, set(sys.modules) - before
import mlflow
"""


@pytest.mark.slow  # a process that imports everything
def test_a_worker_has_all_imports_of_jobs_and_not_mlflow() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
