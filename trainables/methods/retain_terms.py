"""The retain terms by name, and what each needs. `trainables.methods.reduction` divides by the counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from trainables.methods.base import Published, Retain, Values, log_sigmoid, require
from trainables.methods.tokens import kept_hidden, kept_logits, sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.config import Compat


@dataclass(frozen=True)
class RetainLoss:
    """`per_row`: -> (rows,), nats. `reduction`: what their sum is divided by. `needs_*`: what it reads of the model.

    `published`: code bases that count its tokens differently.
    """

    per_row: Callable[[Retain, Values], Tensor]
    reduction: Literal["rows", "tokens"]
    needs_logits: bool = False
    needs_hidden: bool = False
    needs_alternative: bool = False
    published: Mapping[Compat, Published] = field(default_factory=dict)


def nll(retain: Retain, values: Values) -> Tensor:
    """(rows,) -log p(y|x): ordinary training on the retain rows ("RT")."""
    return -retain.model.sequence


def kl(retain: Retain, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of KL(p_ref || p): stay close to the target model on the retain rows ("KL").

    The NPO paper's code averages over prompt and padding too, which makes the term 5 to 10 times smaller at the same
    weight (`compat` reproduces that). Raises ValueError without logits.
    """
    log_p = kept_logits(retain.model, "model").log_softmax(-1)
    log_p_ref = kept_logits(retain.reference, "reference").detach().log_softmax(-1)
    return sum_over_answer((log_p_ref.exp() * (log_p_ref - log_p)).sum(-1), retain.model)


def hidden(retain: Retain, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of the mean squared distance of hidden states to the target model's."""
    distance = kept_hidden(retain.model, "model") - kept_hidden(retain.reference, "reference").detach()
    return sum_over_answer(distance.square().mean(-1), retain.model)


def preference(retain: Retain, values: Values) -> Tensor:
    """(rows,) -(1/beta) log sigmoid( -beta log( p(refusal|x) / p(y|x) ) ): prefer the true answer to a refusal.

    The answer preservation term of Yuan et al. 2024 (arXiv 2410.08109).
    """
    alternative = require(retain.alternative, "alternative")
    beta = values["beta"]
    return -(1 / beta) * log_sigmoid(-beta * (alternative.sequence - retain.model.sequence))


_EVERYWHERE = Published("positions", everywhere=True)

RETAIN_TERMS: dict[str, RetainLoss] = {
    "nll": RetainLoss(nll, "tokens"),
    "kl": RetainLoss(kl, "tokens", needs_logits=True, published={"npo": _EVERYWHERE, "open_unlearning": _EVERYWHERE}),
    "hidden": RetainLoss(
        hidden,
        "tokens",
        needs_hidden=True,
        published={"open_unlearning": Published("rows_by_length", later=True)},
    ),
    "preference": RetainLoss(preference, "rows", needs_alternative=True),
}
