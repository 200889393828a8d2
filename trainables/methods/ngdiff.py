"""Normalized gradient difference: both gradients scaled to length 1 (Bu et al. 2024, arXiv 2410.22086).

    g_NGDiff = g_R / |g_R| - g_F / |g_F|

g_R and g_F are the gradients of the cross-entropy on retain and forget rows. In a sum of losses the larger gradient
dominates, and ascent's grows as the model forgets. Here neither dominates, so there is no retain weight to search. To
first order a step never raises the retain loss and never lowers the forget loss.

Lengths are those of the whole model's gradient over the whole optimizer batch. The paper adds an automatic learning
rate (GeN); here the learning rate is the trial's. The combined gradient has length at most 2, so the optimizer's
clipping at 1 can still act on it.
"""

from __future__ import annotations

from trainables.methods.base import Method, Products, Values
from trainables.methods.ga import gradient_ascent


def normalized(products: Products, values: Values) -> tuple[float, float]:
    """(1 / |forget gradient|, 1 / |retain gradient|), with 0 for a zero gradient."""
    return _inverse_length(products.forget), _inverse_length(products.retain)


def _inverse_length(square: float) -> float:
    return 0.0 if square == 0 else square**-0.5


NGDIFF = Method(
    name="ngdiff",
    forget_loss=gradient_ascent,
    reduction="tokens",
    source="Bu, Jin, Vinzamuri, Ramakrishna, Chang, Cevher & Hong 2024, arXiv 2410.22086",
    retain="nll",
    combine=normalized,
)
