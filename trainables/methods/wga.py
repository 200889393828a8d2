"""Weighted gradient ascent: tokens that are already forgotten are left alone (Wang et al. 2025, arXiv 2502.19301).

    L_WGA(theta) = E_tokens[ w_t log p(y_t) ] + w CE(x_retain, y),   w_t = p(y_t)^beta   (w_t: no gradient)

Ascent's gradient on a token is 1/p times that of its probability, so unlikely tokens dominate. The weight cancels that
(beta = 1: ascent on the probability itself). beta -> 0 gives gradient ascent. It reads no reference, although the
published code loads one.

`beta` is the paper's alpha. The authors' release in open-unlearning has beta 1 and the cross-entropy on the retain set,
as here; their first code defaults to 5 and uses the KL as its retain term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import RETAIN_WEIGHT, Forget, Hyperparameter, Method, Values
from trainables.methods.tokens import sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def weighted_ascent(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of p^beta log p, <= 0, nats. Minimising it is ascent on weighted tokens."""
    log_p = forget.model.token_log_probs
    weight = (values["beta"] * log_p.detach()).exp()
    return sum_over_answer(weight * log_p.masked_fill(weight == 0, 0.0), forget.model)


WGA = Method(
    name="wga",
    forget_loss=weighted_ascent,
    reduction="tokens",
    source="Wang, Zhou, Zhou, Shin, Han & Weinberger 2025, arXiv 2502.19301",
    retain="nll",
    hyperparameters={
        "beta": Hyperparameter(low=0.1, high=10.0, log=True, default=1.0, gt=0),
        "retain_weight": RETAIN_WEIGHT,
    },
)
