"""Which alternative answers belong to a row, and which of them an epoch trains on. Pure arithmetic on row numbers."""

from __future__ import annotations

import numpy as np

PER_ROW = 5
"""Alternative answers per row, as in AltPO (arXiv 2409.13474). Few, so that their reference log-probs fit one small
table; more than one, so that no row memorises a single sentence."""


def refusal_choices(rows: int, refusals: int) -> list[tuple[int, ...]]:
    """The refusals of each row, as numbers below `refusals`: `PER_ROW` different ones, or all if there are fewer.

    Depends on the arguments alone, so all trials share one reference table.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([rows, refusals])))
    each = min(PER_ROW, refusals)
    return [tuple(map(int, rng.choice(refusals, size=each, replace=False))) for _ in range(rows)]


def alternative_index(row: int, epoch: int, seed: int, choices: int) -> int:
    """Which of its `choices` alternatives a row is trained on in an epoch: each row cycles from its own start."""
    return (row + seed + epoch - 1) % choices
