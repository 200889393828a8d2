"""Other answers to the same questions: a few for every row, and which of them an epoch trains on. Pure arithmetic.

What the answers are (refusals, or the target model's own inventions) is decided elsewhere.
"""

from __future__ import annotations

import numpy as np

PER_ROW = 5
"""Alternative answers a row, as many as AltPO (arXiv 2409.13474) has. Few, so that their reference log-probs are one
small table; more than one, so that no row learns a single sentence by heart."""


def refusal_choices(rows: int, refusals: int) -> list[tuple[int, ...]]:
    """Which refusals (numbers below `refusals`) belong to each row: `PER_ROW` different ones, fewer if there are fewer.

    A function of its arguments alone, so that all trials share one reference table.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([rows, refusals])))
    each = min(PER_ROW, refusals)
    return [tuple(map(int, rng.choice(refusals, size=each, replace=False))) for _ in range(rows)]


def turn(row: int, epoch: int, seed: int, choices: int) -> int:
    """Which of its `choices` alternatives a row is trained on in an epoch: the next one, from a start of its own."""
    return (row + seed + epoch - 1) % choices
