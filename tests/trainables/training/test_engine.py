"""The engine under ZeRO 0 to 3, fp32 and bf16, 1 and 2 workers: one update in all; restarts change nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import tiny
from tests.tiny import PRECISIONS, Tensors, distance
from tests.trainables.training.engine_runs import model, steps
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine

BF16_SHARE = 0.35  # Adam turns rounding of near-zero gradients into whole steps, so single weights may differ fully
REFERENCE = "1-0-fp32-4-whole"


class Runs(NamedTuple):
    stages: tuple[int, ...]
    found: dict[str, Tensors]


def train(stages: tuple[int, ...], group: Group, folder: Path) -> None:
    """Weights after all steps without a restart, and with one."""
    cases = [(stage, precision, 4) for stage in stages for precision in PRECISIONS]
    for stage, precision, micro in [*cases, *((stage, "fp32", 1) for stage in stages)]:
        name = f"{group.size}-{stage}-{precision}-{micro}"
        for restart in (False, True) if micro == 4 else (False,):
            engine = Engine(model(), tiny.workers(stage, precision, micro, group.size), group, weight_decay=0.01)
            steps(engine, group, micro, folder / f"state-{name}", restart)
            weights = {f"{name}-{'restarted' if restart else 'whole'}": tiny.copied(engine.weights())}
            tiny.keep(weights, group, folder)
            engine.close()


@pytest.fixture(scope="module", params=[(0, 3), pytest.param((0, 1, 2), marks=pytest.mark.slow)], ids=str)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    found = tiny.spawned(partial(train, request.param), tmp_path_factory.mktemp("engine"))
    return Runs(request.param, found)


def test_a_restart_from_the_state_changes_no_bit(runs: Runs) -> None:
    restarted = [name for name in runs.found if name.endswith("restarted")]
    assert len(restarted) == 2 * 2 * len(runs.stages)
    for name in restarted:
        assert tiny.same(runs.found[name.replace("restarted", "whole")], runs.found[name]), name


def test_the_update_does_not_depend_on_workers_or_micro_batches(runs: Runs) -> None:
    for name in (f"{size}-{stage}-fp32-{micro}-whole" for size in (1, 2) for stage in runs.stages for micro in (1, 4)):
        assert distance(runs.found[REFERENCE], runs.found[name]) < 1e-5, name


def test_bf16_follows_fp32(runs: Runs) -> None:
    exact, untouched = runs.found[REFERENCE], model().state_dict()
    moved = sum(float((exact[name] - untouched[name]).abs().sum()) for name in exact)
    for run in (f"{size}-{stage}-bf16-4-whole" for size in (1, 2) for stage in runs.stages):
        apart = sum(float((exact[name] - runs.found[run][name].float()).abs().sum()) for name in exact)
        assert 0 < apart < BF16_SHARE * moved, run


def test_training_moved_the_weights_and_left_the_pristine_model_alone(runs: Runs) -> None:
    assert distance(tiny.copied(model().state_dict()), runs.found[REFERENCE]) > 1e-3
