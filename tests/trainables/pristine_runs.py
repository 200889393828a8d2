"""What each process of `test_pristine` does: trials one after the other from weights that stay, and from a cold start.

The CPU stands for a device: weights that stay `device` or `pinned` go the same way there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.trainables.engine_runs import PRECISIONS, STAGES, model, step
from tests.trainables.lora_runs import LORA, log_probs
from trainables.config import LoraConfig, Precision, WorkersConfig
from trainables.engine import SHARDED_WEIGHTS, Engine
from trainables.gpu_share import Place
from trainables.group import Group
from trainables.resident import Loaded, Resident

FOLDER = "kept"
STEPS = 2
PLACES: tuple[Place, ...] = ("host", "device", "pinned")
TRIALS: tuple[tuple[Place, int], ...] = (("host", 0), ("device", 0), ("device", 1), ("pinned", 0))


@dataclass(frozen=True)
class Case:
    stage: int
    precision: Precision
    adapters: bool

    def __str__(self) -> str:
        return f"{self.stage}-{self.precision}-{'adapters' if self.adapters else 'whole'}"

    @property
    def lora(self) -> LoraConfig | None:
        return LORA if self.adapters else None


CASES = [Case(stage, precision, adapters) for stage in STAGES for precision in PRECISIONS for adapters in (False, True)]


def cases(size: int) -> list[Case]:
    """Several workers differ from one where they hold shards of the weights."""
    return CASES if size == 1 else [case for case in CASES if case.stage == SHARDED_WEIGHTS]


def resident_of(folder: str = FOLDER) -> Resident:
    """One that has the model as if it had been loaded from the folder."""
    resident = Resident()
    resident.get("model", folder, lambda: Loaded(model(), None))
    return resident


def trial(resident: Resident, place: Place, case: Case, group: Group) -> dict[str, Tensor]:
    """What one trial comes to; empty on other ranks than 0."""
    deepspeed = {"zero_optimization": {"stage": case.stage}}
    workers = WorkersConfig(
        workers=group.size, precision=case.precision, micro_batch_size=4, compile="off", deepspeed=deepspeed
    )
    weights = resident.weights(FOLDER, case.precision, place, str(group.device))
    pristine = resident.model(FOLDER).model
    engine = Engine(pristine, workers, group, weights=weights, weight_decay=0.01, lora=case.lora, seed=3)
    engine.model.train()
    for _ in range(STEPS):
        step(engine, group, 4)
    with engine.as_saved():  # adapters are folded in, and out again from the weights that stay
        merged = log_probs(engine.model)
    found = {name: tensor.detach().clone().cpu() for name, tensor in (engine.weights() or {}).items()}
    found.pop("lm_head.weight", None)
    found |= {"log_probs": log_probs(engine.model).cpu(), "merged": merged.cpu()}
    engine.close()
    return found


def process(rank: int, size: int, folder: str) -> None:
    """Entry of a spawned process."""
    os.environ |= {"LOCAL_RANK": str(rank), "DS_ACCELERATOR": "cpu"}
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous-{size}"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=size)
    group, warm = Group(rank, size, torch.device("cpu")), resident_of()
    for case in cases(size):
        for place, number in TRIALS:
            found = trial(warm, place, case, group)
            if rank == 0:
                save_file(found, Path(folder) / f"{size}-{case}-{place}-{number}.safetensors")
    if rank == 0:
        kept = {f"{place}/{name}": tensor for place in PLACES for name, tensor in _state(warm, place).items()}
        save_file(kept, Path(folder) / f"kept-{size}.safetensors")
    torch.distributed.destroy_process_group()


def _state(resident: Resident, place: Place) -> dict[str, Tensor]:
    state = resident.weights(FOLDER, "fp32", place, "cpu").state_dict()
    return {name: tensor.detach().clone() for name, tensor in state.items() if name != "lm_head.weight"}
