"""Methods through Ray Train and DeepSpeed, one after another in the same workers: two epochs, and a resumption.

The trials of one worker group share everything that stays warm, as in a sweep, so this is also a test that no method
leaves something behind for the next.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from torch import Tensor

from letheon.preparation.artifacts import Prepared
from letheon.preparation.builder import build_artifacts
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.trial_config import trial_config
from letheon.workers.pool import pool_of
from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import OwnedWorkerGroup
from tests.letheon.small_sweep import SPACE, write_space
from trainables.config import Hyperparameters, LoraConfig
from trainables.jobs.specs import TrialJob
from trainables.methods import METHODS

# All methods wait for one set of workers and models, on any machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MEASURED = ("seconds", "per_second", "memory", "restarts")
FRACTION = 0.25
TRIALS = [*((name, False) for name in METHODS), *((name, True) for name in ("npo_rt", "rmu", "ngdiff"))]

Report = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="module")
def spec(folder: Path) -> SweepSpec:
    content = yaml.safe_load(SPACE)
    content["model"]["recipe"]["epochs"] = 6
    content["search"]["forget_fraction"] = {"choice": [FRACTION]}
    content["scheduler"]["max_epochs"] = 2
    return load_spec(write_space(folder, yaml.safe_dump(content)))


@pytest.fixture(scope="module")
def prepared(ray_session: None, spec: SweepSpec, folder: Path) -> Prepared:
    with pool_of(spec, 2, folder / "root") as pool:
        return build_artifacts(spec, folder / "root", pool, say=lambda text: None)


@pytest.fixture(scope="module")
def workers(prepared: Prepared, spec: SweepSpec, folder: Path) -> Iterator[OwnedWorkerGroup]:
    settings = WorkerSettings(workers=spec.trial.workers_config, storage=folder / "train", logs=folder / "logs")
    resident = OwnedWorkerGroup(settings)
    yield resident
    resident.close()


class Trial:
    """One trial of a method in its own folder."""

    def __init__(self, method: str, spec: SweepSpec, prepared: Prepared, folder: Path, lora: LoraConfig | None) -> None:
        hyper = Hyperparameters(
            method=method, forget_fraction=FRACTION, learning_rate=3e-4, batch_size=8, warmup_epochs=0, fit_epochs=1
        )
        self._folder = folder
        config = trial_config(spec, prepared, folder.name.replace("_", "-"), hyper, folder)
        keep_all = {"decision": None}  # weights of every epoch, also of those that cannot be on the front
        self._job = TrialJob(config=config.model_copy(update={"lora": lora, **keep_all})).model_dump(mode="json")

    def run(self, workers: OwnedWorkerGroup, epochs: int) -> list[Report]:
        """Reports of the first epochs, NaN as None (it equals itself), without what depends on the machine's mood.

        Then the trial is abandoned.
        """
        generation = workers.submit(self._job)
        found = []
        for epoch in range(1, epochs + 1):
            report = workers.run_epoch(generation, epoch)
            assert "failed" not in report, report
            kept = {name: value for name, value in report.items() if not any(part in name for part in MEASURED)}
            found.append({name: None if isinstance(v, float) and math.isnan(v) else v for name, v in kept.items()})
        return found

    def weights(self, epoch: int) -> dict[str, Tensor]:
        return load_file(self._folder / f"epoch-{epoch:03d}" / "model" / "model.safetensors")


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return math.sqrt(sum(float((one[name].double() - other[name].double()).square().sum()) for name in one))


def names_of_baseline(prepared: Prepared) -> set[str]:
    return set(json.loads(prepared.baseline[FRACTION].path.read_text())["target"]["metrics"])


@pytest.mark.parametrize(("method", "adapters"), TRIALS)
def test_two_epochs_and_a_resumption(
    workers: OwnedWorkerGroup, prepared: Prepared, spec: SweepSpec, folder: Path, method: str, adapters: bool
) -> None:
    lora = LoraConfig(rank=4, alpha=32) if adapters else None
    name = f"{method}-adapters" if adapters else method
    whole = Trial(method, spec, prepared, folder / name, lora)
    reports = whole.run(workers, epochs=2)

    missing = names_of_baseline(prepared) - {"eval_seconds"} - reports[0].keys()
    assert not missing
    for report in reports:
        assert math.isfinite(report["loss"]) and math.isfinite(report["forget_loss"])
        assert math.isfinite(report["model_utility"])
    retain = METHODS[method].retain
    assert ("retain_loss" in reports[0]) == (retain != "none")

    target = load_file(prepared.target.path / "model.safetensors")
    assert distance(whole.weights(1), target) > 1e-3
    assert distance(whole.weights(2), whole.weights(1)) > 1e-3

    stopped = Trial(method, spec, prepared, folder / f"{name}-stopped", lora)
    assert stopped.run(workers, epochs=1) == reports[:1]
    assert stopped.run(workers, epochs=2) == reports  # the first is reported again, the second is trained
    assert distance(stopped.weights(2), whole.weights(2)) == 0.0
