"""Whole trials without Ray: reports are documented and do not depend on the worker's earlier trials."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import layout
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.trial_config import trial_config
from tests import tiny
from tests.letheon.small_sweep import SPACE, write_space
from trainables.config import Hyperparameters
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.logs.write import open_unlearning_log
from trainables.evaluation.metrics.catalog import RECORDED, metric_info
from trainables.evaluation.metrics.details import SetDetails
from trainables.inputs.cache import WorkerCache
from trainables.jobs.prepare import finetune, make_base, make_baseline
from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob
from trainables.model.gpu_share import WeightPlace
from trainables.runtime.ranks import Group
from trainables.training import memory_usage, trial
from trainables.training.memory_usage import peak_bytes, reset_peak
from trainables.training.trial import run_trial

MEASURED = ("seconds", "per_second", "memory")
MIB = 2**20
FRACTION = 0.25
METHODS = ("npo_kl", "npo_rt")
EPOCHS = 1


class Reports:
    """The channel of a trial that is stopped after some epochs."""

    def __init__(self, epochs: int = EPOCHS) -> None:
        self.epochs, self.found, self.fast_paths = epochs, list[dict[str, Any]](), ""

    def may_run(self, epoch: int) -> bool:
        return epoch <= self.epochs

    def report(self, epoch: int, metrics: dict[str, Any]) -> None:
        self.fast_paths = metrics["fast_paths"]
        self.found.append({name: value for name, value in metrics.items() if name != "fast_paths"})


def prepared_in(folder: Path) -> tuple[SweepSpec, Prepared]:
    """Everything that trials need, made in this process."""
    content = yaml.safe_load(SPACE)
    content["model"]["recipe"]["epochs"] = 2
    content.setdefault("evaluation", {})["gradient_norm"] = True  # which no decision reads
    content["search"]["forget_fraction"] = {"choice": [FRACTION]}
    spec = load_spec(write_space(folder, yaml.safe_dump(content)))
    prepared, group = layout(spec, folder / "root"), Group()
    for artifact in prepared.missing:
        job = artifact.job
        if isinstance(job, BaseJob):
            make_base(job)
        elif isinstance(job, FinetuneJob):
            finetune(job, group)
        elif isinstance(job, BaselineJob):
            make_baseline(job, WorkerCache(), group)
    return spec, prepared


@contextmanager
def placed(place: WeightPlace) -> Iterator[None]:
    """As if a GPU had this place for the weights that trials start from."""
    decides: Any = memory_usage
    decided = decides.place_of_weights
    decides.place_of_weights = lambda *_: place
    try:
        yield
    finally:
        decides.place_of_weights = decided


def work(_: Group, folder: Path) -> None:
    """Prepare a small model, then trials in fresh and in used workers."""
    spec, prepared = prepared_in(folder)

    def run(name: str, method: str, resident: WorkerCache) -> None:
        hyper = Hyperparameters(
            method=method, forget_fraction=FRACTION, learning_rate=3e-4, batch_size=8, warmup_epochs=0
        )
        reports = Reports()
        run_trial(trial_config(spec, prepared, name, hyper, folder / name), resident, Group(), reports)
        (folder / f"{name}.json").write_text(json.dumps(reports.found))

    for method in METHODS:
        run(f"{method}-cold".replace("_", "-"), method, WorkerCache())
    stop_and_go_on(spec, prepared, folder)
    baseline_from_log(spec, prepared, folder)
    places: tuple[WeightPlace, ...] = ("device", "pinned")
    for place in places:
        used = WorkerCache()
        with placed(place):
            for method in METHODS:
                run(f"{method}-{place}".replace("_", "-"), method, used)


def stop_and_go_on(spec: SweepSpec, prepared: Prepared, folder: Path) -> None:
    """A trial of three epochs, and the same stopped after two of them, with a state after each epoch or none."""
    hyper = Hyperparameters(method="npo_rt", forget_fraction=FRACTION, learning_rate=3e-4, batch_size=8)
    decides: Any = trial
    decided = decides.must_save_state
    for name, saves, attempts in (("straight", True, (3,)), ("saved", True, (2, 3)), ("lost", False, (2, 3))):
        decides.must_save_state = lambda *_, saves=saves: saves
        config = trial_config(spec, prepared, name, hyper, folder / name)
        for epochs in attempts:
            reports = Reports(epochs)
            run_trial(config.model_copy(update={"max_epochs": 4}), WorkerCache(), Group(), reports)
        (folder / f"{name}.json").write_text(json.dumps(reports.found))
    decides.must_save_state = decided


def baseline_from_log(spec: SweepSpec, prepared: Prepared, folder: Path) -> None:
    """The baseline once more, from the log of the retain model's evaluation in place of the model."""
    job, split = prepared.baseline[FRACTION].job, load_benchmark(spec.benchmark).split(FRACTION)
    assert isinstance(job, BaselineJob)
    known = json.loads(Path(job.file).read_text())
    details = {name: SetDetails(**of_set) for name, of_set in known["retain"]["details"].items()}
    log = open_unlearning_log(details, known["retain"]["metrics"], split.evaluation)
    (folder / "log.json").write_text(json.dumps(log))
    changes = {"retain": str(folder / "log.json"), "retain_is_log": True, "file": str(folder / "from-log.json")}
    make_baseline(job.model_copy(update=changes), WorkerCache(), Group())
    (folder / "from-model.json").write_text(json.dumps(known))


def work_at_both_depths(_: Group, folder: Path) -> None:
    """A trial that gets worse by the epoch, evaluated whole, as deep as the decision needs, and so in two attempts."""
    spec, prepared = prepared_in(folder)
    hyper = Hyperparameters(method="ga", forget_fraction=FRACTION, learning_rate=2e-3, batch_size=8, warmup_epochs=0)
    resident = WorkerCache()
    for name, depth, attempts in (
        ("whole", "full", (4,)),
        ("deciding", "decision", (4,)),
        ("again", "decision", (2, 4)),
    ):
        scheduler = spec.scheduler.model_copy(update={"evaluate": depth})
        config = trial_config(spec.model_copy(update={"scheduler": scheduler}), prepared, name, hyper, folder / name)
        for epochs in attempts:
            reports = Reports(epochs)
            run_trial(config, resident, Group(), reports)
        (folder / f"{name}.json").write_text(json.dumps(reports.found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    tiny.spawned(work, folder, sizes=(1,))
    return folder


@pytest.fixture(scope="module")
def depths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("depths")
    tiny.spawned(work_at_both_depths, folder, sizes=(1,))
    return folder


def report(folder: Path, method: str, place: str) -> dict[str, Any]:
    (found,) = json.loads((folder / f"{method.replace('_', '-')}-{place}.json").read_text())
    return {name: repr(value) if math.isnan(value) else value for name, value in found.items()}  # NaN equals nothing


def weights(folder: Path, method: str, place: str) -> dict[str, torch.Tensor]:
    name = f"{method.replace('_', '-')}-{place}"
    return load_file(folder / name / "epoch-001" / "model" / "model.safetensors")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("place", ["device", "pinned"])
def test_a_trial_from_kept_weights_equals_a_cold_one_bit_for_bit(folder: Path, method: str, place: str) -> None:
    cold, warm = (report(folder, method, each) for each in ("cold", place))
    assert {name for name in cold if cold[name] != warm[name]} <= {
        name for name in cold if any(part in name for part in MEASURED)
    }
    ours, theirs = weights(folder, method, place), weights(folder, method, "cold")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("name", ["saved", "lost"])
def test_a_trial_that_was_stopped_ends_with_the_same_numbers(folder: Path, name: str) -> None:
    """With the state of the epoch before, or without any: then its epochs are trained again."""
    states = [(folder / name / f"epoch-00{epoch}" / "state").exists() for epoch in (1, 2, 3)]
    assert states == ([False, True, True] if name == "saved" else [False] * 3)
    for one, other in zip(epochs_of(folder, name), epochs_of(folder, "straight"), strict=True):
        assert one == pytest.approx(other, rel=0, abs=0, nan_ok=True)
    last = "epoch-003/model/model.safetensors"
    if (folder / "straight" / last).exists():
        ours, theirs = load_file(folder / name / last), load_file(folder / "straight" / last)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_baseline_from_a_log_is_that_of_the_model_itself(folder: Path) -> None:
    ours, theirs = (json.loads((folder / f"from-{each}.json").read_text()) for each in ("log", "model"))
    for name in ("target", "retain"):
        assert ours[name]["metrics"]["forget_quality"] == theirs[name]["metrics"]["forget_quality"]
    same = [key for key in theirs["yardstick"] if key != "writing"]
    assert all(ours["yardstick"][key] == pytest.approx(theirs["yardstick"][key], rel=1e-9) for key in same)
    assert ours["note"].startswith("a published evaluation log")


def test_every_reported_metric_is_documented(folder: Path) -> None:
    recorded = {name for names in RECORDED for name in names.split(", ")}
    for method in METHODS:
        unknown = {
            name for name in report(folder, method, "cold") if metric_info(name) is None and name not in recorded
        }
        assert {name for name in unknown if not name.startswith(("holdout_", "members_"))} == set()


def epochs_of(folder: Path, name: str) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((folder / f"{name}.json").read_text())
    return [{key: value for key, value in one.items() if not any(part in key for part in MEASURED)} for one in found]


@pytest.mark.slow
def test_only_candidates_are_evaluated_in_full_and_shared_metrics_are_equal(depths: Path) -> None:
    whole, deciding = epochs_of(depths, "whole"), epochs_of(depths, "deciding")
    for deep, shallow in zip(whole, deciding, strict=True):
        assert shallow == pytest.approx({key: deep[key] for key in shallow}, rel=1e-6, abs=1e-6, nan_ok=True)
    sizes = [len(one) for one in deciding]
    assert sizes[0] == sizes[-1] == len(whole[0]), "nothing excels the first epoch, and the last is always whole"
    assert min(sizes[1:-1]) < len(whole[0])
    missing = {key for deep, shallow in zip(whole, deciding, strict=True) for key in deep.keys() - shallow.keys()}
    assert missing >= {"mia_gradnorm"}
    assert missing.isdisjoint({"log10_forget_quality", "model_utility", "utility_ratio", "privleak", "stammer_excess"})


@pytest.mark.slow
def test_a_resumed_trial_evaluates_the_same_epochs_in_full(depths: Path) -> None:
    again, deciding = epochs_of(depths, "again"), epochs_of(depths, "deciding")
    for one, other in zip(again, deciding, strict=True):
        assert one == pytest.approx(other, rel=0, abs=0, nan_ok=True)


def test_peak_and_prediction_are_recorded_together(folder: Path) -> None:
    for method in METHODS:
        found = report(folder, method, "cold")
        assert 0 < found["predicted_memory_bytes"] < found["peak_memory_bytes"]  # of a process with its libraries
    plain, frozen = (report(folder, method, "cold")["predicted_memory_bytes"] for method in ("npo_rt", "npo_kl"))
    assert plain < frozen
    assert plain < report(folder, "npo_rt", "device")["predicted_memory_bytes"]  # a copy that stays counts


def test_the_peak_is_reset_when_the_next_trial_begins() -> None:
    reset_peak("cpu")
    before = peak_bytes("cpu")
    torch.ones(256 * MIB, dtype=torch.uint8).sum()
    assert peak_bytes("cpu") > before + 200 * MIB
    reset_peak("cpu")
    assert peak_bytes("cpu") < before + 100 * MIB
