"""The loss of an optimizer step, given in parts: rows of one micro-batch of one worker, counts of the whole batch.

Every part is a sum over its rows divided by counts of the whole optimizer batch, so the parts of any partition into
micro-batches and workers add up to the loss and the gradient of the undivided batch. Whoever averages gradients
(DeepSpeed does, over workers and accumulation steps) must multiply by the number of parts first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainables.methods.method import Method
from trainables.methods.retain import kl, nll

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.config import Hyperparameters
    from trainables.scores import Encoded, Scores


@dataclass(frozen=True)
class Counts:
    """Rows and answer tokens (end of sequence included) of the whole optimizer batch, all workers and parts."""

    forget_rows: int
    forget_tokens: int
    retain_tokens: int = 0

    @classmethod
    def of(cls, forget: Sequence[Encoded], retain: Sequence[Encoded] = ()) -> Counts:
        return cls(len(forget), _answer_tokens(forget), _answer_tokens(retain))


def _answer_tokens(rows: Sequence[Encoded]) -> int:
    # The first token of a row has no context, so it is never predicted, even where the prompt is empty.
    return sum(len(row.input_ids) - max(row.answer_start, 1) for row in rows)


def step_loss(
    method: Method,
    forget: Scores,
    retain: Scores | None,
    forget_reference: Scores | Tensor | None,
    retain_reference: Scores | None,
    hyper: Hyperparameters,
    counts: Counts,
) -> tuple[Tensor, dict[str, Tensor]]:
    """This part's share of the loss (scalar, nats), and of `forget_loss` and `retain_loss` (detached, unweighted).

    `retain_loss` is there only for methods with a retain term. Zero rows are a valid part. Raises ValueError when
    something the method needs is missing, or a count is not positive.
    """
    forget_loss = forget_term(method, forget, forget_reference, hyper, counts)
    terms = {"forget_loss": forget_loss.detach()}
    if method.retain == "none":
        return forget_loss, terms
    retain_loss = retain_term(method, retain, retain_reference, counts)
    terms["retain_loss"] = retain_loss.detach()
    return forget_loss + method.values(hyper)["retain_weight"] * retain_loss, terms


def forget_term(
    method: Method, forget: Scores, reference: Scores | Tensor | None, hyper: Hyperparameters, counts: Counts
) -> Tensor:
    """This part's share of the forget loss (scalar)."""
    per_row = method.forget_loss(forget, reference, method.values(hyper))
    if method.reduction == "sequence":
        return per_row.sum() / _positive("forget_rows", counts.forget_rows)
    return per_row.sum() / _positive("forget_tokens", counts.forget_tokens)


def retain_term(method: Method, retain: Scores | None, reference: Scores | None, counts: Counts) -> Tensor:
    """This part's share of the retain loss (scalar), without its weight."""
    if retain is None:
        raise ValueError(f"retain None must be the scores of retain rows: {method.name} has a retain term; score some")
    if method.retain == "nll":
        return nll(retain).sum() / _positive("retain_tokens", counts.retain_tokens)
    if reference is None:
        raise ValueError(
            f"retain_reference None must be the target model's scores for the KL of {method.name}; pass them"
        )
    return kl(retain, reference).sum() / _positive("retain_tokens", counts.retain_tokens)


def _positive(name: str, count: int) -> int:
    if count < 1:
        raise ValueError(f"{name} {count} must be at least 1; count the whole optimizer batch, not this part")
    return count
