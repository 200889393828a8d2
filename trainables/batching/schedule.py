"""Learning rate and row order as pure functions of (seed, epoch, step)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


def learning_rate(
    step: int, total: int, warmup: int, peak: float, decay: Literal["linear", "cosine"] = "linear"
) -> float:
    """Rate of optimizer step `step` (0-based) of `total`: linear rise over `warmup` steps, then decay to 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * (1 - progress if decay == "linear" else 0.5 * (1 + math.cos(math.pi * progress)))


@dataclass(frozen=True)
class StepRows:
    """Row indices of one optimizer step, over all workers and micro-batches."""

    forget: tuple[int, ...]
    retain: tuple[int, ...]


def epoch_steps(forget_rows: int, retain_rows: int, batch_size: int, seed: int, epoch: int) -> list[StepRows]:
    """Every forget row once in random order; each step pairs them with as many retain rows, redrawn every epoch."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    forget = rng.permutation(forget_rows)
    retain = np.concatenate(list(_rounds(rng, retain_rows, forget_rows)))[:forget_rows] if retain_rows else forget[:0]
    return [
        StepRows(tuple(map(int, forget[i : i + batch_size])), tuple(map(int, retain[i : i + batch_size])))
        for i in range(0, forget_rows, batch_size)
    ]


def _rounds(rng: np.random.Generator, rows: int, needed: int) -> Iterator[np.ndarray]:
    """Permutations until `needed` rows are drawn, so that no row repeats before all have been drawn."""
    for _ in range(math.ceil(needed / rows)):
        yield rng.permutation(rows)


def shuffled(rows: int, batch_size: int, seed: int, epoch: int) -> list[tuple[int, ...]]:
    """Row indices of each optimizer step of one epoch of plain fine-tuning."""
    return [step.forget for step in epoch_steps(rows, 0, batch_size, seed, epoch)]


def micro_batches(rows: tuple[int, ...], rank: int, size: int, micro: int) -> list[tuple[int, ...]]:
    """This rank's rows of one step in micro-batches. Every rank gets the same number of them, some empty, because
    ZeRO needs all ranks in lockstep.
    """
    count = max(1, math.ceil(math.ceil(len(rows) / size) / micro))
    mine = rows[rank::size]
    return [mine[i * micro : (i + 1) * micro] for i in range(count)]


def rows_at_a_time(tokens: Sequence[int], size: int, budget: int) -> int:
    """The micro-batch size at which no worker exceeds `budget` tokens per micro-batch; at least 1.

    `tokens`: per row of the step, including everything that is scored with it. The micro-batches are as few and as
    even as possible.
    """
    per_worker = max(1, math.ceil(len(tokens) / size))
    for count in range(1, per_worker):
        micro = math.ceil(per_worker / count)
        parts = (tokens[rank::size][i : i + micro] for rank in range(size) for i in range(0, per_worker, micro))
        if all(sum(part) <= budget for part in parts):
            return micro
    return 1
