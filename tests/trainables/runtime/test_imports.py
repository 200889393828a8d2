"""What a worker imports before its first job: all that jobs need, and not MLflow, which DeepSpeed would bring along."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from trainables.runtime.imports import gc_paused, hide_packages

SCRIPT = """
import sys
from trainables.runtime.imports import preload
preload()
assert "mlflow" not in sys.modules, "MLflow was imported"
before = set(sys.modules)
import deepspeed, trainables.training.trial, trainables.jobs.prepare
assert set(sys.modules) == before, set(sys.modules) - before
import mlflow
"""


@pytest.mark.slow  # a process that imports everything
def test_a_worker_has_what_jobs_need_and_no_mlflow() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_what_is_hidden_cannot_be_imported_and_what_is_there_stays() -> None:
    with hide_packages("tabnanny"), pytest.raises(ImportError):
        import tabnanny
    import tabnanny

    with hide_packages("tabnanny"):
        assert sys.modules["tabnanny"] is tabnanny


def test_the_collector_is_still_within_the_block_and_then_as_it_was() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            pass
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
