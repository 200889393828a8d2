"""Fifty steps of a small model that knows its texts, under float32 AdamW, each memory recipe, and a bad control.

`python -m tests.trainables.training.recipe_runs` prints the table of docs/memory.md.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tests import tiny
from trainables.batching.rows import Encoded
from trainables.config import BenchmarkConfig, WorkersConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.inputs.cache import encode_rows
from trainables.model.load import texts_of, tiny_model, tiny_tokenizer
from trainables.model.memory import RECIPES
from trainables.model.packed_attention import use_packed_attention
from trainables.model.scoring import make_batch, score
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.number_formats import join

STEPS, ROWS_PER_STEP, RATE = 50, 8, 1e-5
LEARNED_STEPS, LEARNED_RATE = 80, 3e-3


class Movement(NamedTuple):
    """Against float32 AdamW's movement of all weights together: `kept`: the share along it, and `difference`: the
    relative length of the rest too; of what the optimizer continues from. `saved`: the share of the bf16 weights."""

    kept: float
    difference: float
    saved: float


@cache
def rows() -> tuple[Any, list[Encoded]]:
    texts = load_benchmark(BenchmarkConfig()).full
    tokenizer = tiny_tokenizer(texts_of(texts))
    return tokenizer, list(encode_rows("plain", tokenizer, texts))


def learn() -> Any:
    """A model of 1.1 M parameters that has started to learn the embedded benchmark's rows."""
    tokenizer, encoded = rows()
    model = tiny_model(tokenizer, seed=0)
    use_packed_attention(model)
    adam = torch.optim.AdamW(model.parameters(), lr=LEARNED_RATE)
    for step in range(LEARNED_STEPS):
        adam.zero_grad()
        loss_of(model, batch_of(encoded, step)).backward()  # type: ignore[no-untyped-call]
        adam.step()
    return model


def batch_of(encoded: list[Encoded], step: int) -> list[Encoded]:
    generator = torch.Generator().manual_seed(step)
    return [encoded[i] for i in torch.randperm(len(encoded), generator=generator)[:ROWS_PER_STEP].tolist()]


def loss_of(model: Any, some: list[Encoded]) -> Tensor:
    return -score(model, make_batch(some, 0, "cpu", "packed")).sequence.mean()


def train(engine: Engine) -> None:
    """Gradient ascent and descent in turn, as unlearning with a retain term mixes them."""
    _, encoded = rows()
    for step in range(STEPS):

        def losses(step: int = step) -> Iterator[Tensor]:
            yield loss_of(engine.deepspeed, batch_of(encoded, step)) * (-1 if step % 2 == 0 else 1)

        engine.model.train()
        engine.step(losses(), RATE, 1)


def flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().float().flatten() for tensor in tensors])


def masters(engine: Engine) -> Tensor:
    """What the optimizer continues from: the masters, or the weights."""

    def one(weight: Tensor) -> Tensor:
        master = engine.deepspeed.optimizer.state[weight].get("master")
        if master is None:
            return weight
        return join(weight.detach(), master) if master.dtype == torch.int16 else master

    return flat(map(one, engine.model.parameters()))


def measure(group: Group) -> dict[str, Movement]:
    start = learn()
    rounded = copy.deepcopy(start).bfloat16()

    def run(**on: Any) -> Engine:
        engine = Engine(start, WorkersConfig(compile="off", **on), group, weight_decay=0.0)
        train(engine)
        return engine

    exact = flat(run(precision="fp32").model.parameters()) - flat(start.parameters())

    def against(kept: Tensor, saved: Tensor) -> Movement:
        before = flat(rounded.parameters())
        moved, length = kept - before, exact @ exact
        difference = float(torch.linalg.vector_norm(moved - exact) / length.sqrt())
        return Movement(float(moved @ exact / length), difference, float((saved - before) @ exact / length))

    found: dict[str, Movement] = {}
    for name in RECIPES:
        engine = run(precision="bf16", memory=name)
        found[name] = against(masters(engine), flat(engine.model.parameters()))
    nearest = engine_with_plain_adamw(start, group)
    train(nearest)
    weights = flat(nearest.model.parameters())
    return found | {"nearest": against(weights, weights)}


def engine_with_plain_adamw(start: Any, group: Group) -> Engine:
    """The bad control: AdamW on bf16 weights without masters, which rounds each update to nearest."""
    engine = Engine(start, WorkersConfig(compile="off", precision="bf16"), group, weight_decay=0.0)
    plain = torch.optim.AdamW(engine.model.parameters(), lr=RATE)
    engine.deepspeed.optimizer = plain
    return engine


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, tiny.joined(Path(folder)) as group:
        for name, found in measure(group).items():
            print(f"| {name} | {found.kept:.3f} | {found.difference:.3f} | {found.saved:.3f} |")
