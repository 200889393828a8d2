"""Workers import everything that jobs need before the first job, but not what only other uses need."""

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


# As transformers 5.17 does it in a module that every generation model imports.
ASKS_FIRST = """
from transformers.utils import is_sklearn_available
from trainables.jobs.preload import HIDDEN
from trainables.runtime.imports import hide_packages
with hide_packages(*HIDDEN):
    if is_sklearn_available():
        from sklearn.metrics import roc_curve
"""


def test_no_package_looks_installed_while_one_that_it_needs_is_hidden() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS_FIRST], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow  # a process that imports everything
def test_a_worker_has_all_imports_of_jobs_and_not_mlflow() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
