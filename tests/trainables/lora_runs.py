"""What each process of `test_lora` does: train adapters under every ZeRO stage and precision, once with a restart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.trainables.engine_runs import PRECISIONS, RESTART_AFTER, STAGES, STEPS, model, rows, step
from trainables.config import LoraConfig, Precision, WorkersConfig
from trainables.engine import SHARDED_WEIGHTS, Engine
from trainables.evaluation.generate import generate
from trainables.group import Group
from trainables.scores import collate, score

LORA = LoraConfig(rank=4, alpha=12)
NEW_TOKENS = 6
PROMPTS = [(5, 9, 11), (7, 3), (40, 2, 1, 30)]


@torch.no_grad()
def log_probs(trained: Any) -> Tensor:
    """(rows,) of all rows in one forward pass, float32."""
    trained.eval()
    return score(trained, collate(rows(), 0)).sequence


def written(trained: Any, group: Group) -> Tensor:
    """(prompts, tokens) greedy continuations, in lockstep with the other ranks."""
    trained.eval()
    found = generate(trained, PROMPTS, NEW_TOKENS, ends={47}, pad_id=0, all_done=group.all)
    return torch.tensor([[*tokens, *[47] * (NEW_TOKENS - len(tokens))] for tokens in found])


def raw(engine: Engine, stage: int) -> dict[str, Tensor]:
    """Weights and adapters as they are, on rank 0."""
    state = (
        engine.deepspeed._zero3_consolidated_16bit_state_dict()
        if stage == SHARDED_WEIGHTS
        else engine.model.state_dict()
    )
    return copied(state)


def copied(state: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in (state or {}).items() if name != "lm_head.weight"}


def train(group: Group, workers: WorkersConfig, states: Path, restart: bool) -> tuple[Engine, dict[str, Tensor]]:
    """A trained engine, and what was seen before the first step."""
    engine = Engine(model(), workers, group, weight_decay=0.01, lora=LORA, seed=3)
    start = {"log_probs": log_probs(engine.model)}
    if not restart:
        start |= copied(engine.weights())
    else:
        engine.load_state(states)
    engine.model.train()
    for number in range(RESTART_AFTER if restart else 0, STEPS):
        step(engine, group, workers.micro_batch_size or 1)
        if number + 1 == RESTART_AFTER and not restart:
            engine.save_state(states)
    return engine, start


def looked_at(engine: Engine, group: Group) -> dict[str, Tensor]:
    """What the model says with adapters, with adapters merged, and again with adapters."""
    adapted = log_probs(engine.model)
    with engine.as_saved():
        saved, tokens = log_probs(engine.model), written(engine.model, group)
    trained = sum(parameter.requires_grad for parameter in engine.model.parameters())
    return {
        "adapted": adapted,
        "saved": saved,
        "after": log_probs(engine.model),
        "tokens": tokens,
        "adapted_tokens": written(engine.model, group),
        "trained": torch.tensor(trained),
    }


def run(group: Group, workers: WorkersConfig, folder: Path, name: str) -> None:
    """All that the tests look at."""
    results: dict[str, dict[str, Tensor]] = {}
    states = folder / f"state-{name}"
    engine, results["start"] = train(group, workers, states, restart=False)
    results["seen"] = looked_at(engine, group)
    results["raw"] = raw(engine, workers.zero_stage)
    results["whole"] = copied(engine.weights())
    engine.close()
    engine, _ = train(group, workers, states, restart=True)
    results["restarted"] = copied(engine.weights())
    engine.close()
    write(results, group, folder, name)


def update(group: Group, workers: WorkersConfig, folder: Path, name: str) -> None:
    """Only the weights at the end."""
    engine, _ = train(group, workers, folder / f"state-{name}", restart=False)
    write({"whole": copied(engine.weights())}, group, folder, name)
    engine.close()


def write(results: dict[str, dict[str, Tensor]], group: Group, folder: Path, name: str) -> None:
    for kind, tensors in results.items():
        if group.rank == 0:
            save_file(tensors, folder / f"{name}-{kind}.safetensors")


def process(rank: int, size: int, folder: str) -> None:
    """Entry of a spawned process."""
    os.environ |= {"LOCAL_RANK": str(rank), "DS_ACCELERATOR": "cpu"}
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous-{size}"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=size)
    group = Group(rank, size, torch.device("cpu"))

    def workers(stage: int, precision: Precision, micro: int) -> WorkersConfig:
        deepspeed = {"zero_optimization": {"stage": stage}}
        return WorkersConfig(workers=size, precision=precision, micro_batch_size=micro, deepspeed=deepspeed)

    for stage in STAGES:
        for precision in PRECISIONS:
            run(group, workers(stage, precision, 4), Path(folder), f"{size}-{stage}-{precision}-4")
        update(group, workers(stage, "fp32", 1), Path(folder), f"{size}-{stage}-fp32-1")
    torch.distributed.destroy_process_group()
