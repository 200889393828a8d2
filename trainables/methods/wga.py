"""Weighted gradient ascent: tokens that are forgotten already are left alone (Wang et al. 2025, arXiv 2502.19301).

    L_WGA(theta) = E_tokens[ w_t log p(y_t) ] + w CE(x_retain, y),   w_t = p(y_t)^beta   (w_t: no gradient)

The gradient of ascent on a token is 1/p times that of its probability, so unlikely tokens dominate; the weight takes
that back (beta = 1: ascent on the probability itself). beta -> 0 is gradient ascent. No reference is read; published
code loads one nevertheless.

`beta` is the paper's alpha. The authors' release in open-unlearning has beta 1 and the plain loss on the retain set,
as here; their first code falls back on 5 and holds on with the KL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import RETAIN_WEIGHT, Forget, Hyperparameter, Method, Values
from trainables.methods.tokens import sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def weighted_ascent(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of p^beta log p, <= 0, nats: minimising it is ascent on weighted tokens."""
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
        "beta": Hyperparameter(low=0.1, high=10.0, log=True, default=1.0),
        "retain_weight": RETAIN_WEIGHT,
    },
)
