"""One step through the engine is the same for 1 and 2 workers, any micro-batches, ZeRO 0, 2 and 3, padded or packed.

In the fast part for a method of every way through a step; for the others when slow tests run. That no loss depends on
micro-batches is checked for all of them in `test_step`, on workers in `test_golden_losses`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests import tiny
from tests.tiny import Tensors
from tests.trainables.training.engine_runs import ROWS, VOCABULARY, model
from trainables.batching.schedule import StepRows
from trainables.config import Hyperparameters
from trainables.inputs.micro_batches import MicroBatcher, StepData
from trainables.inputs.reference_log_probs import compute_reference
from trainables.methods import METHODS, Method
from trainables.runtime.ranks import Group
from trainables.training.engine import SHARDED_WEIGHTS, Engine
from trainables.training.line import WeightLine
from trainables.training.step import Stepper

PAD, WHOLE = 0, 8
LEARNING_RATE = 1e-2
FORGET, RETAIN = (0, 2, 1, 3, 4), (1, 0, 3, 2, 4)
SHARE = 2e-4  # of the update's length; Adam turns rounding of a gradient near zero into a part of a step
FEW = ["npo_rt", "kto_rt", "undial", "rmu", "pdu", "ngdiff", "sam", "task_arithmetic", "uipe"]
REST = [name for name in METHODS if name not in FEW]
OF_ONE_LOSS = {"dpo_rt", "idk_dpo", "altpo", "npo_rt", "uipe"}
"""They differ in where alternative answers come from, or in what follows the step; these losses do not show it."""


class Dealt(NamedTuple):
    """How the five rows of the step are dealt out: to how many workers, under which stage, in which micro-batches, and
    end to end or padded.
    """

    size: int
    stage: int
    micro: int
    packed: bool = True

    def __str__(self) -> str:
        return f"{self.size}-{self.stage}-{self.micro}{'' if self.packed else '-padded'}"


REFERENCE = Dealt(1, 0, WHOLE, packed=False)
WAYS = (REFERENCE, Dealt(1, 0, WHOLE), Dealt(1, 0, 1), Dealt(2, 0, 3), Dealt(2, 2, 1, packed=False), Dealt(2, 3, WHOLE))


def ways(method: Method) -> list[Dealt]:
    """Those that the method allows."""
    return [way for way in WAYS if way.stage < SHARDED_WEIGHTS or not method.needs_whole_gradients]


def start() -> Any:
    """A model on its way: no longer the target model, or half of the methods would have no gradient to speak of."""
    trained = model()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return trained


def step_data() -> StepData:
    target = model().eval()
    target.requires_grad_(False)
    lengths = [(4, 8), (1, 4), (3, 7), (2, 4), (2, 6)]
    retain, alternatives, others = (tiny.rows(lengths, seed, VOCABULARY) for seed in (4, 5, 6))
    return StepData(
        forget=ROWS,
        retain=retain,
        pad_id=PAD,
        alternatives=[[row] for row in alternatives],
        retain_alternatives=[[row] for row in others],
        reference=compute_reference(target, ROWS, PAD, 4096, "cpu"),
        alternative_reference=compute_reference(target, alternatives, PAD, 4096, "cpu"),
        frozen=target,
    )


def needed(method: Method, data: StepData) -> StepData:
    """What the method declares, and nothing else: what it does not declare it must not read."""
    table, alternatives = method.needs_reference_table, method.alternative != "none"
    return replace(
        data,
        alternatives=data.alternatives if alternatives else (),
        retain_alternatives=data.retain_alternatives if method.retain == "preference" else (),
        reference=data.reference if table else None,
        alternative_reference=data.alternative_reference if table and alternatives else None,
        frozen=data.frozen if method.needs_reference_model else None,
    )


def update(method: Method, way: Dealt, group: Group, data: StepData) -> Tensors:
    """What one step adds to the weights, the loss of the whole step, and the retain weight after it."""
    pristine = start()
    engine = Engine(pristine, tiny.workers(way.stage, "fp32", way.micro, way.size), group, weight_decay=0.0)
    hyper = Hyperparameters(
        method=method.name, forget_fraction=0.1, learning_rate=LEARNING_RATE, batch_size=WHOLE, fit_epochs=1
    )
    layout: Any = "packed" if way.packed else "padded"
    stepper = Stepper(engine, hyper, MicroBatcher(method, needed(method, data), group, way.micro, layout=layout))
    if method.line is not None:
        loss = WeightLine(stepper, hyper, max_epochs=2).move(1, group)["loss"]
    else:
        step = StepRows(FORGET, () if method.retain == "none" else RETAIN)  # as a trial does
        loss = sum(group.gather([float(seen.loss) for seen in stepper.run(step, 1, LEARNING_RATE)]))
    before = pristine.state_dict()
    moved = {name: weights - before[name] for name, weights in tiny.copied(engine.weights()).items()}
    engine.close()
    return {**moved, "loss": torch.tensor(loss), "retain_weight": torch.tensor(stepper.weight)}


def work(names: list[str], group: Group, folder: Path) -> None:
    data = step_data()
    for method in map(METHODS.__getitem__, names):
        for way in ways(method):
            if way.size == group.size:
                tiny.keep({f"{method.name}-{way}": update(method, way, group, data)}, group, folder)


class Runs(NamedTuple):
    names: list[str]
    found: dict[str, Tensors]

    def of(self, name: str, way: Dealt = REFERENCE) -> Tensors:
        return self.found[f"{name}-{way}"]


@pytest.fixture(scope="module", params=[FEW, pytest.param(REST, marks=pytest.mark.slow)], ids=["few", "rest"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(request.param, tiny.spawned(partial(work, request.param), tmp_path_factory.mktemp("methods")))


def moved(run: Tensors) -> Tensor:
    """The update of all weights in one vector."""
    return torch.cat([run[name].double().flatten() for name in sorted(run) if "." in name])


def test_the_update_does_not_depend_on_how_rows_are_split(runs: Runs) -> None:
    for name in runs.names:
        reference, whole = runs.of(name), moved(runs.of(name))
        for way in ways(METHODS[name]):
            run = runs.of(name, way)
            assert float((moved(run) - whole).norm() / whole.norm()) < SHARE, (name, way)
            for number, rel in (("loss", 1e-5), ("retain_weight", 1e-6)):
                assert float(run[number]) == pytest.approx(float(reference[number]), rel=rel, abs=1e-6), (name, way)


def test_the_step_changes_the_weights(runs: Runs) -> None:
    for name in runs.names:
        update = moved(runs.of(name))
        assert bool(update.isfinite().all()), name
        # Adam's first step moves a weight by the learning rate; some methods train a part of the weights only.
        assert float((update.abs() > LEARNING_RATE / 4).double().mean()) > 0.25, name


def test_a_point_on_a_line_is_a_multiple_of_the_step_before_it(runs: Runs) -> None:
    """Halfway to alpha = 1: one and a half times NPO+RT's step."""
    if "uipe" not in runs.names:
        return
    step = moved(runs.of("npo_rt"))
    assert float((moved(runs.of("uipe")) - 1.5 * step).norm() / step.norm()) < SHARE


def test_no_two_losses_are_the_same(runs: Runs) -> None:
    losses = {name: round(float(runs.of(name)["loss"]), 4) for name in runs.names}
    distinct = [loss for name, loss in losses.items() if name not in OF_ONE_LOSS]
    assert len(set(distinct)) == len(distinct)
