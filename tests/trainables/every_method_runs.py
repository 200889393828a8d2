"""What each process of `test_every_method` does: one optimizer step of every method, however its rows are dealt out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.trainables.engine_runs import model, rows
from trainables.config import Hyperparameters, WorkersConfig
from trainables.engine import SHARDED_WEIGHTS, Engine
from trainables.feed import Feed, StepData
from trainables.group import Group
from trainables.methods import METHODS, Method
from trainables.reference import compute_reference
from trainables.schedule import StepRows
from trainables.scores import Encoded
from trainables.step import Stepper
from trainables.task_vector import TaskVector

PAD = 0
LEARNING_RATE = 1e-2
WHOLE = 8
FORGET, RETAIN = (0, 2, 1, 3, 4), (1, 0, 3, 2, 4)


@dataclass(frozen=True)
class Dealt:
    """How the five rows of the step are dealt out: to how many workers, in which micro-batches, under which stage, and
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


def others(seed: int) -> list[Encoded]:
    """Rows of other lengths than the forget rows."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [12, 5, 10, 6, 8]
    return [Encoded(tuple(torch.randint(0, 48, (n,), generator=generator).tolist()), n // 3) for n in lengths]


def step_data() -> StepData:
    target = model().eval()
    target.requires_grad_(False)
    alternatives = others(5)
    return StepData(
        forget=rows(),
        retain=others(4),
        pad_id=PAD,
        alternatives=[[row] for row in alternatives],
        retain_alternatives=[[row] for row in others(6)],
        reference=compute_reference(target, rows(), PAD, 4096, "cpu"),
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


def update(method: Method, way: Dealt, group: Group, data: StepData) -> dict[str, Tensor]:
    """What one step adds to the weights, the loss of the whole step, and the retain weight after it."""
    deepspeed = {"zero_optimization": {"stage": way.stage}}
    workers = WorkersConfig(workers=way.size, micro_batch_size=way.micro, deepspeed=deepspeed)
    pristine = start()
    engine = Engine(pristine, workers, group, weight_decay=0.0)
    hyper = Hyperparameters(
        method=method.name, forget_fraction=0.1, learning_rate=LEARNING_RATE, batch_size=WHOLE, overfit_epochs=1
    )
    stepper = Stepper(
        engine, hyper, Feed(method, needed(method, data), group, way.micro, layout="packed" if way.packed else "padded")
    )
    if method.task_vector:
        loss = TaskVector(stepper, hyper, max_epochs=2).move(1, group)["loss"]
    else:
        step = StepRows(FORGET, () if method.retain == "none" else RETAIN)  # as a trial does
        loss = sum(group.gather([float(seen.loss) for seen in stepper.run(step, 1, LEARNING_RATE)]))
    weights, before = engine.weights() or {}, pristine.state_dict()
    moved = {name: weights[name].detach() - before[name] for name in weights if name != "lm_head.weight"}
    engine.close()
    return {**moved, "loss": torch.tensor(loss), "retain_weight": torch.tensor(stepper.weight)}


def process(rank: int, size: int, folder: str) -> None:
    """Entry of a spawned process."""
    os.environ |= {"LOCAL_RANK": str(rank), "DS_ACCELERATOR": "cpu"}
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous-{size}"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=size)
    group, data = Group(rank, size, torch.device("cpu")), step_data()
    for name, method in METHODS.items():
        for way in ways(method):
            if way.size == size:
                found = update(method, way, group, data)
                if rank == 0:
                    save_file(found, Path(folder) / f"{name}-{way}.safetensors")
    torch.distributed.destroy_process_group()
