"""What each process of `test_engine` does: a few steps under every ZeRO stage and precision, once with a restart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from trainables.attention import use_packed_attention
from trainables.config import Precision, WorkersConfig
from trainables.engine import Engine
from trainables.group import Group
from trainables.schedule import micro_batches
from trainables.scores import Encoded, collate, score

STAGES = (0, 1, 2, 3)
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
STEPS = 4
RESTART_AFTER = 2


def model() -> Any:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    )
    made = LlamaForCausalLM(config)
    use_packed_attention(made)
    return made


def rows() -> list[Encoded]:
    generator = torch.Generator().manual_seed(2)
    lengths = [9, 14, 7, 11, 12]  # five rows: two workers never share them equally
    return [
        Encoded(tuple(torch.randint(0, 48, (length,), generator=generator).tolist()), length // 2) for length in lengths
    ]


def step(engine: Engine, group: Group, micro: int) -> None:
    data = rows()
    tokens = sum(len(row.input_ids) - row.answer_start for row in data)
    micros = micro_batches(tuple(range(len(data))), group.rank, group.size, micro)

    def losses() -> Iterator[Tensor]:
        for indices in micros:
            batch = collate([data[i] for i in indices] or [data[0]], 0)
            yield -score(engine.deepspeed, batch).rows(0, len(indices)).sequence.sum() / tokens

    engine.step(losses(), learning_rate=1e-2, count=len(micros))


def train(group: Group, stage: int, precision: Precision, micro: int, states: Path) -> tuple[dict[str, Tensor], ...]:
    """Weights after all steps without a restart, and with one; empty on other ranks than 0."""
    workers = WorkersConfig(
        workers=group.size,
        precision=precision,
        micro_batch_size=micro,
        deepspeed={"zero_optimization": {"stage": stage}},
    )
    found = []
    for restart in (False, True):
        engine = Engine(model(), workers, group, weight_decay=0.01)
        if restart:
            engine.load_state(states)
        for number in range(RESTART_AFTER if restart else 0, STEPS):
            step(engine, group, micro)
            if number + 1 == RESTART_AFTER and not restart:
                engine.save_state(states)
        weights = engine.weights() or {}
        found.append({name: tensor.detach().float().clone() for name, tensor in weights.items()})
        engine.close()
    return tuple(found)


def process(rank: int, size: int, folder: str) -> None:
    """Entry of a spawned process."""
    os.environ |= {"LOCAL_RANK": str(rank), "DS_ACCELERATOR": "cpu"}
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous-{size}"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=size)
    group = Group(rank, size, torch.device("cpu"))
    for stage in STAGES:
        for precision in PRECISIONS:
            for micro in (1, 4) if precision == "fp32" else (4,):
                name = f"{size}-{stage}-{precision}-{micro}"
                runs = train(group, stage, precision, micro, Path(folder) / f"state-{name}")
                for restarted, weights in zip(("whole", "restarted"), runs, strict=True):
                    if rank == 0:
                        untied = {key: value for key, value in weights.items() if key != "lm_head.weight"}
                        save_file(untied, Path(folder) / f"{name}-{restarted}.safetensors")
    torch.distributed.destroy_process_group()
