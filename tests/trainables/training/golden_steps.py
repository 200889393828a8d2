"""One optimizer step of Letheon's batcher and stepper on the rows of the golden values: float64, a plain model.

The engine is replaced by autograd. Several workers are threads that hand one another what they gather.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch.distributed
from torch import Tensor

from tests.goldens.exact_model import ExactLlama, exact_model, reference_model
from tests.goldens.loss_rows import PARTITIONS
from trainables.batching.packing import Layout
from trainables.batching.rows import Encoded
from trainables.batching.schedule import StepRows, micro_batches
from trainables.config import Compat, Hyperparameters
from trainables.inputs.micro_batches import MicroBatcher, StepData
from trainables.inputs.reference_log_probs import ReferenceTable, compute_reference
from trainables.methods.base import Method
from trainables.model.packed_attention import use_packed_attention
from trainables.runtime.ranks import Group, T
from trainables.training.gradients import gradients_of, trainable
from trainables.training.step import Stepper
from trainables.training.terms import MicroBatchResult

GOLDENS = Path(__file__).parents[2] / "goldens" / "losses.json"


@cache
def goldens() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(GOLDENS.read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True)
class Way:
    """How a method's step is taken. `values`: the method's own hyper-parameters."""

    method: Method
    values: dict[str, float]
    compat: Compat = "none"
    layout: Layout = "padded"
    seed: int = 0


@dataclass(frozen=True)
class Done:
    """A step's loss and gradient, as the engine adds them up; of every worker, what it saw and its retain weight."""

    loss: float
    gradient: dict[str, Tensor]
    seen: list[MicroBatchResult] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Together(Group):
    """Threads in place of processes."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1, timeout=60))
    shared: dict[int, list[Any]] = field(default_factory=dict)

    def gather(self, items: Sequence[T]) -> list[T]:
        self.shared[self.rank] = list(items)
        self.meeting.wait()
        found = [item for rank in range(self.size) for item in self.shared[rank]]
        self.meeting.wait()
        return found


_HERE = threading.local()


def _add_up(tensor: Tensor) -> None:
    """In place of torch.distributed.all_reduce: the sum over workers, on each of them."""
    tensor.copy_(torch.stack(_HERE.group.gather([tensor.clone()])).sum(0))


def take(way: Way, rows: str, partition: str) -> Done:
    """The step over the rows of a tokenization, dealt out as the partition says."""
    workers = PARTITIONS[partition].workers
    size, micro = len(workers), max(len(places) for mine in workers for places in mine)
    count = sum(len(places) for mine in workers for places in mine)
    step = StepRows(tuple(range(count)), tuple(range(count)) if way.method.retain != "none" else ())
    assert tuple(tuple(micro_batches(step.forget, r, size, micro)) for r in range(size)) == workers
    meeting, shared = threading.Barrier(size, timeout=60), dict[int, list[Any]]()
    groups = [Together(rank, size, "cpu", meeting, shared) for rank in range(size)]
    with ThreadPoolExecutor(size) as threads, mock.patch.object(torch.distributed, "all_reduce", _add_up):
        found = list(threads.map(lambda group: _of_worker(way, rows, step, group, micro), groups))
    names = [name for name, parameter in model(way.layout).named_parameters() if parameter.requires_grad]
    added = [sum(parts[1:], start=parts[0]) for parts in zip(*(done.gradient.values() for done in found), strict=True)]
    seen = [each for done in found for each in done.seen]
    return Done(
        sum(done.loss for done in found),
        dict(zip(names, added, strict=True)),
        seen,
        [w for d in found for w in d.weights],
    )


def _of_worker(way: Way, rows: str, step: StepRows, group: Group, micro: int) -> Done:
    _HERE.group = group
    both = {each: model(way.layout, group.rank) for each in ("model", "deepspeed")}
    engine: Any = SimpleNamespace(**both, prove=lambda batch: None)
    parameters = dict(engine.model.named_parameters())
    assert len(parameters) == len(trainable(engine.model))
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}

    def run(losses: Iterable[Tensor], learning_rate: float, count: int) -> None:
        for loss in losses:
            found = gradients_of(loss, list(parameters.values()))
            for name, gradient in zip(total, found, strict=True):
                assert gradient.dtype == torch.float64, f"{gradient.dtype} gradient of a model in float64"
                total[name] += gradient

    engine.step = run
    batcher = MicroBatcher(way.method, data(way, rows, group.rank), group, micro, way.compat, way.layout)
    given = {"method": way.method.name, "forget_fraction": 0.1, "learning_rate": 1e-5, "seed": way.seed, **way.values}
    stepper = Stepper(engine, Hyperparameters.model_validate(given), batcher)
    seen = stepper.run(step, epoch=1, learning_rate=1e-5)
    return Done(sum(float(part.loss) for part in seen), total, seen, [stepper.weight])


@cache
def model(layout: Layout, rank: int = 0) -> ExactLlama:
    """A worker's own: hooks of one thread must not see another's batch."""
    return _ready(exact_model(), layout)


@cache
def frozen(layout: Layout, rank: int = 0) -> ExactLlama:
    return _ready(reference_model(), layout)


def _ready(made: ExactLlama, layout: Layout) -> ExactLlama:
    assert layout == "padded" or use_packed_attention(made)
    return made


@cache
def encoded(rows: str, kind: str) -> tuple[Encoded, ...]:
    given = goldens()["rows"][rows]["(answer start, tokens) of each row"][kind]
    return tuple(Encoded(tuple(ids), start) for start, *ids in given)


def data(way: Way, rows: str, rank: int) -> StepData:
    """What the method declares that it needs, as a trial gives it."""
    method, tokens = way.method, goldens()["rows"][rows]
    alternates = encoded(rows, "alternates") if method.alternative != "none" else ()
    table = method.needs_reference_table

    def reference(kind: str) -> ReferenceTable:
        hidden = tokens["pad"] if way.compat == "open_unlearning" else None
        return compute_reference(frozen(way.layout, rank), encoded(rows, kind), tokens["pad"], 64, "cpu", hidden)

    return StepData(
        forget=encoded(rows, "forget"),
        retain=encoded(rows, "retain"),
        pad_id=tokens["pad"],
        end_id=tokens["end"],
        alternatives=[[row] for row in alternates],
        retain_alternatives=[[r] for r in encoded(rows, "retain_alternates")] if method.retain == "preference" else (),
        reference=reference("forget") if table else None,
        alternative_reference=reference("alternates") if table and alternates else None,
        frozen=frozen(way.layout, rank) if method.needs_reference_model else None,
    )
