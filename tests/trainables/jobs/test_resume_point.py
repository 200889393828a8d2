"""A fine-tuning that is killed continues from its last saved state, and ends with the weights of one that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.test_architecture import ROOT
from trainables.jobs.resume_point import EPOCH_SECONDS, SAVE_SECONDS, SHARE, is_due

TRAIN = """
import json, os, signal, sys, tempfile
from pathlib import Path
from tests import tiny
from trainables.config import BenchmarkConfig, TrainingRecipe, WorkersConfig
from trainables.jobs import prepare, resume_point
from trainables.jobs.specs import BaseJob, FinetuneJob

folder, name, dies_at, epochs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
resume_point.is_due = lambda since, epoch_ends, cost: True  # after every step
data = BenchmarkConfig.model_validate(json.loads(sys.argv[5]))
base = folder / "base"
prepare.make_base(BaseJob(base="tiny", benchmark=data, folder=str(base)))
configuration = json.loads((base / "config.json").read_text())  # dropout: the random state matters, too
(base / "config.json").write_text(json.dumps({**configuration, "attention_dropout": 0.1}))
recipe = TrainingRecipe(epochs=epochs, batch_size=32, learning_rate=1e-3)
job = FinetuneJob(base=str(base), benchmark=data, fraction=None, with_general=False, recipe=recipe, template="plain",
                  workers=WorkersConfig.model_validate(json.loads(sys.argv[6])), folder=str(folder / name))
taken, step = 0, prepare.plain_step
def counted(*arguments):
    global taken
    if taken == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)
    taken += 1
    return step(*arguments)
prepare.plain_step = counted
with tiny.joined(Path(tempfile.mkdtemp(dir=folder))) as group:
    facts = prepare.finetune(job, group)
print(json.dumps({"taken": taken, **facts}))
"""
DATA = {"name": "fictional", "people": 12, "seed": 0}
EPOCHS, NEVER = 3, 10**6


def train(folder: Path, name: str, dies_at: int = NEVER, epochs: int = EPOCHS) -> subprocess.CompletedProcess[str]:
    workers = tiny.workers(precision="bf16").model_dump_json()
    command = [sys.executable, "-c", TRAIN, str(folder), name, str(dies_at), str(epochs), json.dumps(DATA), workers]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)


def facts_of(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert process.returncode == 0, process.stderr[-2000:]
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return found


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.timeout(600)
def test_killed_at_60_percent_it_continues_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = facts_of(train(tmp_path, "whole"))
    steps = whole["taken"]
    dies_at = round(0.6 * steps)
    assert dies_at % (steps // EPOCHS), "in the middle of an epoch"
    assert train(tmp_path, "killed", dies_at).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    (left,) = (tmp_path / ".killed.resume").glob("step-*")
    assert left.name == f"step-{dies_at:06d}"
    resumed = train(tmp_path, "killed")
    assert facts_of(resumed)["taken"] == steps - dies_at
    assert f"continuing after step {dies_at}" in resumed.stdout
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert facts_of(resumed)["loss"] == whole["loss"]
    assert not (tmp_path / ".killed.resume").exists()


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_damaged_state_and_that_of_another_job_are_not_used(tmp_path: Path) -> None:
    assert train(tmp_path, "damaged", 2, epochs=1).returncode == -signal.SIGKILL
    (file,) = (tmp_path / ".damaged.resume").glob("step-*/rank-0.pt")
    file.write_bytes(file.read_bytes()[:-1])
    started_over = facts_of(train(tmp_path, "damaged", epochs=1))["taken"]
    assert train(tmp_path, "other", 2, epochs=2).returncode == -signal.SIGKILL
    assert facts_of(train(tmp_path, "other", epochs=1))["taken"] == started_over
    assert weights(tmp_path / "other") == weights(tmp_path / "damaged")


def test_saving_takes_a_small_share_of_the_time() -> None:
    assert not is_due(EPOCH_SECONDS - 1, epoch_ends=True, cost=0.0), "a fine-tuning of half a minute never saves"
    assert is_due(EPOCH_SECONDS, epoch_ends=True, cost=0.0)
    assert not is_due(SAVE_SECONDS - 1, epoch_ends=False, cost=0.0)
    assert is_due(SAVE_SECONDS, epoch_ends=False, cost=SAVE_SECONDS * SHARE)
    assert not is_due(SAVE_SECONDS, epoch_ends=True, cost=60.0)
    assert is_due(60.0 / SHARE, epoch_ends=False, cost=60.0)
