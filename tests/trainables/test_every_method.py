"""One step of every method is the same for 1 and 2 workers, any micro-batches, ZeRO 0, 2 and 3, padded or packed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from tests.trainables.every_method_runs import LEARNING_RATE, REFERENCE, WAYS, Dealt, process, ways
from trainables.methods import METHODS

Runs = dict[str, dict[str, Tensor]]
pytestmark = pytest.mark.timeout(900)  # the first test waits for all processes
SHARE = 2e-4  # of the update's length; Adam turns rounding of a gradient near zero into a part of a step
each = pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name, method in METHODS.items() for way in ways(method) if way != REFERENCE],
    ids=str,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("methods")
    for size in (1, 2):
        spawn(process, args=(size, str(folder)), nprocs=size)  # type: ignore[no-untyped-call]
    return {path.stem: load_file(path) for path in Path(folder).glob("*.safetensors")}


def moved(run: dict[str, Tensor]) -> Tensor:
    """The update of all weights in one vector."""
    return torch.cat([run[name].double().flatten() for name in sorted(run) if "." in name])


@each
def test_the_update_does_not_depend_on_how_rows_are_dealt_out(runs: Runs, name: str, way: Dealt) -> None:
    reference, run = runs[f"{name}-{REFERENCE}"], runs[f"{name}-{way}"]
    whole = moved(reference)
    assert float((moved(run) - whole).norm() / whole.norm()) < SHARE
    assert float(run["loss"]) == pytest.approx(float(reference["loss"]), rel=1e-5, abs=1e-6)
    assert float(run["retain_weight"]) == pytest.approx(float(reference["retain_weight"]), rel=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_the_step_goes_somewhere(runs: Runs, name: str) -> None:
    update = moved(runs[f"{name}-{REFERENCE}"])
    assert bool(update.isfinite().all())
    # Adam's first step moves a weight by the learning rate; some methods train a part of the weights only.
    assert float((update.abs() > LEARNING_RATE / 4).double().mean()) > 0.25


def test_no_two_losses_are_the_same(runs: Runs) -> None:
    """But of those that differ only in where alternative answers come from, which these rows do not show."""
    same_here = {"dpo_rt", "idk_dpo", "altpo"}
    losses = {name: round(float(runs[f"{name}-{REFERENCE}"]["loss"]), 4) for name in METHODS}
    others = [loss for name, loss in losses.items() if name not in same_here]
    assert len({losses[name] for name in same_here}) == 1
    assert len(set(others)) == len(others)


def test_stage_3_is_left_out_only_where_a_method_says_so() -> None:
    without = {name for name, method in METHODS.items() if len(ways(method)) < len(WAYS)}
    assert without == {"ngdiff", "gru", "sam", "task_arithmetic"}
