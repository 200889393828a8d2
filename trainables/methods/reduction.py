"""The loss of an optimizer step, computed in parts: each part is the rows of one micro-batch on one worker.

Every part is a sum over its rows divided by sizes of the whole optimizer batch, so the parts add up to the loss and the
gradient of the undivided batch, however it is split over micro-batches and workers. Code that averages gradients
(DeepSpeed does, over workers and accumulation steps) must multiply by the number of parts first.

The published code bases average the means of micro-batches instead: `Divisors.compat`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Method, Published, Reduction, Retain, Values
from trainables.methods.retain_terms import RETAIN_TERMS

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.batching.rows import Encoded
    from trainables.config import Compat


@dataclass(frozen=True)
class Size:
    """Sizes of a set of rows.

    `rows`: their number. `tokens`: answer tokens, end of sequence included. `tokens_but_first`: without the first of
    each answer. `positions`: prompt and padding too. `inverse`: the sum of 1 / answer tokens.
    """

    rows: int = 0
    tokens: int = 0
    tokens_but_first: int = 0
    positions: int = 0
    inverse: float = 0.0

    @classmethod
    def of(cls, rows: Sequence[Encoded], width: int = 0) -> Size:
        """`width`: tokens per padded row; 0 if positions are not needed."""
        tokens = [row.answer_tokens for row in rows]
        inverse = math.fsum(1 / each for each in tokens if each)
        return cls(len(rows), sum(tokens), sum(max(each - 1, 0) for each in tokens), len(rows) * width, inverse)

    def by(self, reduction: Reduction) -> float:
        """What a sum over the rows is divided by."""
        sizes: dict[Reduction, float] = {
            "rows": self.rows,
            "tokens": self.tokens,
            "tokens_but_first": max(self.tokens_but_first, 1),  # without a second token anywhere, the sum is 0
            "alternative_tokens": self.tokens,
            "positions": self.positions,
            "rows_by_length": self.rows**2 / self.inverse if self.inverse else 0.0,
        }
        return sizes[reduction]


@dataclass(frozen=True)
class Divisors:
    """Divisors of the sums of forget loss and retain term."""

    forget: float
    retain: float = 0.0

    @classmethod
    def exact(cls, method: Method, forget: Size, alternative: Size, retain: Size) -> Divisors:
        """The sizes are of the whole optimizer batch, all workers and parts."""
        counted = alternative if method.reduction == "alternative_tokens" else forget
        of_retain = 0.0 if method.retain == "none" else retain.by(RETAIN_TERMS[method.retain].reduction)
        return cls(counted.by(method.reduction), of_retain)

    @classmethod
    def compat(
        cls, method: Method, code: Compat, forget: Size, alternative: Size, retain: Size, parts: int
    ) -> Divisors:
        """The sizes are of this micro-batch. `parts`: number of micro-batches of all workers, whose means are averaged.

        The NPO code's IDK is one mean over refusals and retain rows together.
        """
        masked, of_forget, of_retain = cls.exact(method, forget, alternative, retain), *published(method, code)
        forget_size = masked.forget if of_forget is None else forget.by(of_forget.reduction)
        retain_size = masked.retain if of_retain is None else retain.by(of_retain.reduction)
        if code == "npo" and method.reduction == "alternative_tokens" and method.retain == "nll":
            forget_size = retain_size = alternative.tokens + retain.tokens
        return cls(forget_size * parts, retain_size * parts)


def published(method: Method, code: Compat) -> tuple[Published | None, Published | None]:
    """How the code base counts the tokens of forget loss and retain term; None if as here."""
    term = RETAIN_TERMS.get(method.retain)
    return method.published.get(code), None if term is None else term.published.get(code)


def forget_term(method: Method, forget: Forget, values: Values, divisors: Divisors) -> Tensor:
    """This part's share of the forget loss (scalar, nats). Zero rows are a valid part."""
    return method.forget_loss(forget, values).sum() / _positive("forget", divisors.forget)


def retain_term(method: Method, retain: Retain, values: Values, divisors: Divisors) -> Tensor:
    """This part's share of the retain term (scalar, nats), without its weight."""
    return RETAIN_TERMS[method.retain].per_row(retain, values).sum() / _positive("retain", divisors.retain)


def _positive(name: str, size: float) -> float:
    if size <= 0:
        raise ValueError(f"{name} divisor {size} must be positive; take the size of the whole optimizer batch")
    return size
