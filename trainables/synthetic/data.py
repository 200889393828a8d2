"""Draws the inputs and labels of the synthetic experiment, for several seeds at once.

Retain inputs are N(-alpha 1, I), forget inputs N(+alpha 1, I), in 16 dimensions. With u = (x - mean) . 1 / sqrt(16) the
label of a retain row is 0 with log odds 1 + u, that of a forget row is 1 with log odds 1 + u: the larger alpha, the
easier it is to unlearn one without the other. Features are relu(W x), W ~ N(0, 1/16), 128 of them (NPO paper). Random
numbers are numpy's, which do not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

DIMENSIONS = 16
FEATURES = 128
RETAIN_ROWS = 1000
FORGET_ROWS = 200
EVALUATION_ROWS = 1000
INTERCEPT = 1.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """`features`: (seeds, rows, 128) float64. `labels`: (seeds, rows) int64, 0 or 1. `refusals`: like `labels`, but
    uniform: the equivalent of "I don't know" with only two answers.
    """

    features: Tensor
    labels: Tensor
    refusals: Tensor

    def slice(self, start: int, stop: int | None = None) -> Rows:
        """The rows start..stop of every seed."""
        return Rows(self.features[:, start:stop], self.labels[:, start:stop], self.refusals[:, start:stop])

    def joined(self, other: Rows) -> Rows:
        """The rows of both, per seed."""
        return Rows(
            torch.cat([self.features, other.features], 1),
            torch.cat([self.labels, other.labels], 1),
            torch.cat([self.refusals, other.refusals], 1),
        )


@dataclass(frozen=True)
class Problems:
    """One problem per seed. `forget_evaluation`, `retain_evaluation`: (seeds, 1000, 128) features of new inputs.

    `projection`: (seeds, 128, 16), the frozen W.
    """

    projection: Tensor
    forget: Rows
    retain: Rows
    forget_evaluation: Tensor
    retain_evaluation: Tensor


def draw(alpha: float, seeds: Sequence[int], fraction: float = 1.0) -> Problems:
    """The problems of these seeds. The last `fraction` of the 200 forget rows are forgotten and the others become
    retain rows (1.0: the paper's experiment). Evaluation inputs do not depend on the fraction.
    """
    drawn = [_draw(alpha, seed) for seed in seeds]
    projection = torch.stack([one.projection for one in drawn])
    forget, retain = _stacked([one.forget for one in drawn]), _stacked([one.retain for one in drawn])
    kept = FORGET_ROWS - forget_rows(fraction)
    return Problems(
        projection=projection,
        forget=forget.slice(kept),
        retain=retain.joined(forget.slice(0, kept)) if kept else retain,
        forget_evaluation=torch.stack([one.forget_evaluation for one in drawn]),
        retain_evaluation=torch.stack([one.retain_evaluation for one in drawn]),
    )


def forget_rows(fraction: float) -> int:
    """The number of rows that a fraction forgets, at least 1."""
    return max(1, round(fraction * FORGET_ROWS))


@dataclass(frozen=True)
class _Drawn:
    """Like `Problems`, for one seed, without its dimension."""

    projection: Tensor
    forget: tuple[Tensor, Tensor, Tensor]
    retain: tuple[Tensor, Tensor, Tensor]
    forget_evaluation: Tensor
    retain_evaluation: Tensor


def _draw(alpha: float, seed: int) -> _Drawn:
    generator = np.random.Generator(np.random.PCG64(seed))
    projection = generator.standard_normal((FEATURES, DIMENSIONS)) / DIMENSIONS**0.5

    def features(noise: Array, mean: float) -> Tensor:
        return torch.from_numpy(np.maximum((noise + mean) @ projection.T, 0.0))

    def rows(count: int, mean: float, favoured: int) -> tuple[Tensor, Tensor, Tensor]:
        noise = generator.standard_normal((count, DIMENSIONS))
        log_odds = INTERCEPT + noise.sum(1) / DIMENSIONS**0.5
        usual = generator.random(count) < 1 / (1 + np.exp(-log_odds))
        labels = np.where(usual, favoured, 1 - favoured).astype(np.int64)
        refusals = generator.integers(0, 2, count)
        return features(noise, mean), torch.from_numpy(labels), torch.from_numpy(refusals)

    retain, forget = rows(RETAIN_ROWS, -alpha, 0), rows(FORGET_ROWS, alpha, 1)
    fresh = generator.standard_normal((2, EVALUATION_ROWS, DIMENSIONS))
    return _Drawn(torch.from_numpy(projection), forget, retain, features(fresh[0], alpha), features(fresh[1], -alpha))


def _stacked(rows: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Rows:
    features, labels, refusals = (torch.stack(list(part)) for part in zip(*rows, strict=True))
    return Rows(features, labels, refusals)
