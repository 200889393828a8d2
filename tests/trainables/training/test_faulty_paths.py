"""A trial whose fast path is wrong, raises or cannot be compiled ends with the plain path's numbers, and says so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from letheon.sweep.trial_config import trial_config
from tests import tiny
from tests.trainables.training.test_trial import FRACTION, MEASURED, Reports, prepared_in
from trainables.config import Hyperparameters, WorkersConfig
from trainables.evaluation.scoring import read
from trainables.inputs.cache import WorkerCache
from trainables.model import packed_attention
from trainables.model.cpu import patch
from trainables.runtime import fast_paths
from trainables.runtime.fast_paths import FastPath, states, switch_off
from trainables.runtime.ranks import Group
from trainables.training.trial import run_trial

LONG = 20  # tokens; more than a comparison on random numbers has


def wrong_for_real_rows(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(tokens: list[Tensor], *given: Any) -> Tensor:
        return function(tokens, *given) * (1.01 if len(tokens[0]) > LONG else 1.0)

    return call


def raises_for_real_rows(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(query: Tensor, *given: Any) -> Tensor:
        if len(query) > LONG:
            raise RuntimeError("cannot allocate that many heads")
        return function(query, *given)

    return call


def reads_the_wrong_branch(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any) -> Any:
        found = function(*given)
        found.scores.token_log_probs.add_(found.scores.mask.float())
        return found

    return call


FAULTS: dict[str, tuple[FastPath, Any, str, Callable[..., Any]]] = {
    "wrong": ("packed rectangles", packed_attention, "_by_rectangles", wrong_for_real_rows),
    "raises": ("lean layers", patch, "attend", raises_for_real_rows),
    "branch": ("prefix tree", read, "score_prefix_tree", reads_the_wrong_branch),
}


@contextmanager
def faulty(name: str) -> Iterator[None]:
    _, module, function, fault = FAULTS[name]
    right = getattr(module, function)
    setattr(module, function, fault(right))
    try:
        yield
    finally:
        setattr(module, function, right)


def work(_: Group, folder: Path) -> None:
    """A trial with each fault, one with each of these paths off, and one that can compile nothing."""
    spec, prepared = prepared_in(folder)
    hyper = Hyperparameters(
        method="npo_rt", forget_fraction=FRACTION, learning_rate=3e-4, batch_size=8, warmup_epochs=0
    )

    def run(name: str, **workers: Any) -> None:
        config = trial_config(spec, prepared, name, hyper, folder / name)
        changed = WorkersConfig(**config.workers.model_dump() | workers)
        reports = Reports()
        run_trial(config.model_copy(update={"workers": changed}), WorkerCache(), Group(), reports)
        (folder / f"{name}.json").write_text(json.dumps(reports.found[0] | {"fast_paths": reports.fast_paths}))

    def new_process() -> None:
        fast_paths._states.clear()
        fast_paths._proved.clear()

    for name, fault in FAULTS.items():
        new_process()
        switch_off(fault[0], "to see the plain path's numbers")
        run(f"{name}-plain")
        new_process()
        with faulty(name):
            run(f"{name}-faulty")
    new_process()
    run("right")
    assert states()["lean layers"] == "on"
    new_process()
    os.environ |= {"PATH": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled"), "CXX": "/nowhere/g++"}
    run("compiler-faulty", compile="on")
    run("compiler-later", compile="on")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    tiny.spawned(work, folder, sizes=(1,))
    return folder


def report(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return {key: value for key, value in found.items() if not any(part in key for part in MEASURED)}


def off(text: str) -> list[str]:
    return [each for each in text.split("; ") if ": off" in each]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_path_leaves_the_plain_paths_numbers(folder: Path, name: str) -> None:
    plain, found = report(folder, f"{name}-plain"), report(folder, f"{name}-faulty")
    (why,) = off(found.pop("fast_paths"))
    assert why.startswith(f"{FAULTS[name][0]}: off: ")
    assert ("it raised RuntimeError" in why) == (name == "raises")
    plain.pop("fast_paths")
    assert found == pytest.approx(plain, rel=0, abs=0, nan_ok=True)


@pytest.mark.timeout(600)
def test_without_a_compiler_trials_run_uncompiled(folder: Path) -> None:
    right, found, later = (report(folder, name) for name in ("right", "compiler-faulty", "compiler-later"))
    (why,) = off(found.pop("fast_paths"))
    assert why.startswith("compiled layers: off: it raised ") and "compiler" in why.lower()
    assert off(later.pop("fast_paths")) == [why]
    assert off(right.pop("fast_paths")) == []
    assert later == pytest.approx(right, rel=0, abs=0, nan_ok=True), "the next trial is set up without compilation"
    assert found == pytest.approx(right, rel=1e-3, abs=1e-4, nan_ok=True)


def test_the_record_of_an_epoch_names_every_path(folder: Path) -> None:
    record = json.loads((folder / "right" / "epoch-001" / "metrics.json").read_text())
    found = dict(each.split(": ", 1) for each in record["fast_paths"].split("; "))
    assert found == {
        "packed attention kernel": "not used",
        "packed rectangles": "on",
        "lean layers": "on",
        "compiled layers": "not used",
        "own optimizer step": "not used",
        "recorded decoding": "not used",
        "prefix tree": "on",
    }
