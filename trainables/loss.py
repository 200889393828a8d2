"""The loss of an optimizer step, given in parts: rows of one micro-batch of one worker, sizes of the whole batch.

Every part is a sum over its rows divided by sizes of the whole optimizer batch, so the parts of any partition into
micro-batches and workers add up to the loss and the gradient of the undivided batch. Whoever averages gradients
(DeepSpeed does, over workers and accumulation steps) must multiply by the number of parts first.

The published code bases take means over each micro-batch instead, and average those: `Divisors.compat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainables.methods.method import Forget, Method, Retain, Values
from trainables.methods.retain import RETAIN_TERMS

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.config import Compat
    from trainables.scores import Encoded


@dataclass(frozen=True)
class Size:
    """Rows, answer tokens (end of sequence included), and positions with prompt and padding, of some rows."""

    rows: int = 0
    tokens: int = 0
    positions: int = 0

    @classmethod
    def of(cls, rows: Sequence[Encoded], width: int = 0) -> Size:
        """`width`: tokens that each row is padded to, where positions matter."""
        # The first token of a row has no context, so it is never predicted, even where the prompt is empty.
        tokens = sum(len(row.input_ids) - max(row.answer_start, 1) for row in rows)
        return cls(len(rows), tokens, len(rows) * width)


@dataclass(frozen=True)
class Divisors:
    """What the sums of forget loss and retain term are divided by."""

    forget: float
    retain: float = 0.0

    @classmethod
    def exact(cls, method: Method, forget: Size, alternative: Size, retain: Size) -> Divisors:
        """Sizes of the whole optimizer batch, all workers and parts."""
        of_forget = {"rows": forget.rows, "tokens": forget.tokens, "alternative_tokens": alternative.tokens}
        of_retain = 0
        if method.retain != "none":
            of_retain = retain.rows if RETAIN_TERMS[method.retain].reduction == "rows" else retain.tokens
        return cls(of_forget[method.reduction], of_retain)

    @classmethod
    def compat(
        cls, method: Method, code: Compat, forget: Size, alternative: Size, retain: Size, parts: int
    ) -> Divisors:
        """Sizes of this micro-batch; `parts`: micro-batches of all workers, over whose means the code bases average.

        Means over all positions where the code base has them; the NPO code's IDK is one mean over refusals and retain
        rows together.
        """
        masked = cls.exact(method, forget, alternative, retain)
        of_forget = forget.positions if code in method.everywhere_in else masked.forget
        of_retain = retain.positions if takes_everywhere(method, code) else masked.retain
        if code == "npo" and method.reduction == "alternative_tokens" and method.retain == "nll":
            of_forget = of_retain = alternative.tokens + retain.tokens
        return cls(of_forget * parts, of_retain * parts)


def takes_everywhere(method: Method, code: Compat) -> bool:
    """Whether the retain term is taken over prompt and padding too."""
    return code != "none" and method.retain != "none" and RETAIN_TERMS[method.retain].everywhere_in_others


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
