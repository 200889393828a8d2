"""The terms that hold on to what must stay. Both are sums over answer tokens, so `trainables.loss` divides by those."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.scores import Scores


def nll(model: Scores) -> Tensor:
    """(rows,) -log p(y|x): ordinary training on the retain rows ("RT")."""
    return -model.sequence


def kl(model: Scores, reference: Scores) -> Tensor:
    """(rows,) sum over answer tokens of KL(p_ref || p): stay close to the target model on the retain rows ("KL").

    Over answer tokens only. The paper's code averages over prompt and padding too, which makes the term 5 to 10 times
    smaller at the same weight. Raises ValueError without logits.
    """
    if model.logits is None or reference.logits is None:
        raise ValueError("logits None must be kept for the KL term; score the retain rows with keep_logits=True")
    log_p = model.logits.log_softmax(-1)
    log_p_ref = reference.logits.detach().log_softmax(-1)
    per_token = (log_p_ref.exp() * (log_p_ref - log_p)).sum(-1)
    return per_token.masked_fill(~model.mask, 0.0).sum(-1)
