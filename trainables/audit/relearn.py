"""Relearning: fine-tune a copy of the model on a little text, and measure along the way whether the rest comes back.

The text is a part of the forget set ("jogging the memory", arXiv 2406.13356) or benign; the caller measures. The engine
is that of the trials, so any ZeRO stage and number of workers works.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from trainables.audit.prompts import drawn
from trainables.batching.rows import Encoded
from trainables.batching.schedule import learning_rate, shuffled
from trainables.config import LoraConfig, TrainingRecipe, WorkersConfig
from trainables.model.scoring import make_batch
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.plain_step import plain_step


@dataclass(frozen=True)
class Relearning:
    """How the copy is fine-tuned. `checks`: number of evenly spaced measurements, the last one after the last step.

    `lora`: train adapters instead of the weights. `other_bytes`: device bytes that are taken meanwhile.
    """

    steps: int
    batch_size: int
    learning_rate: float
    checks: int
    seed: int
    lora: LoraConfig | None = None
    other_bytes: int = 0


def part_of(rows: int, share: float, seed: int) -> list[int]:
    """Sorted indices of the attacker's rows: round(rows * share), at least one, never all."""
    return sorted(drawn(range(rows), min(max(1, round(rows * share)), rows - 1), seed))


def check_steps(steps: int, checks: int) -> list[int]:
    """The steps after which the model is measured: at most `checks`, evenly spread, always including the last."""
    return sorted({max(1, round(steps * i / checks)) for i in range(1, checks + 1)})


def relearn(
    pristine: Any,
    rows: Sequence[Encoded],
    how: Relearning,
    recipe: TrainingRecipe,
    workers: WorkersConfig,
    group: Group,
    look: Callable[[Any, int, float], None],
) -> None:
    """Fine-tune a copy of `pristine` on the rows, repeatedly in random order, without warm-up or weight decay.

    `look(model, step, loss)` gets the model in evaluation mode (under ZeRO-3 its weights are sharded: all ranks must
    make the same calls) and the mean loss of the last step, nats per token. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("no rows to relearn from: the attack needs at least one; leave the attack out")
    engine = Engine(
        pristine,
        workers,
        group,
        other_bytes=how.other_bytes,
        betas=recipe.betas,
        weight_decay=0.0,
        gradient_clip=recipe.gradient_clip,
        lora=how.lora,
        seed=how.seed,
    )
    try:
        torch.manual_seed(how.seed)
        engine.model.train()
        batch = partial(make_batch, pad_id=0, device=group.device, layout=engine.layout)
        looks, stage = check_steps(how.steps, how.checks), Stage("training", how.steps)
        for step, indices in enumerate(itertools.islice(_batches(len(rows), how), how.steps), 1):
            rate = learning_rate(step - 1, how.steps, 0, how.learning_rate)
            shares = plain_step(engine, [rows[i] for i in indices], batch, group, rate, workers.micro_batch_size, stage)
            if step in looks:
                loss = float(sum(group.gather(shares)))
                engine.model.eval()
                with engine.as_saved():
                    look(engine.model, step, loss)
                engine.model.train()
    finally:
        engine.close()


def _batches(rows: int, how: Relearning) -> Iterator[tuple[int, ...]]:
    for epoch in itertools.count(1):
        yield from shuffled(rows, how.batch_size, how.seed, epoch)
