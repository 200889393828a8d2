"""Normalized gradient difference: both gradients at length 1 (Bu et al. 2024, arXiv 2410.22086).

    g_NGDiff = g_R / |g_R| - g_F / |g_F|

g_R, g_F: gradients of the plain loss on retain and forget rows. In sums of losses the larger gradient decides, and
that of ascent grows as the model forgets; here neither does, so there is no retain weight to search. To first order
the step never raises the retain loss and never lowers the forget loss.

The lengths are those of the whole model's gradient over the whole optimizer batch. The paper adds an automatic
learning rate (GeN); the learning rate here is the trial's. The step has length at most 2 before the optimizer, whose
clipping at 1 can therefore act.
"""

from __future__ import annotations

from trainables.methods.base import Method, Products, Values
from trainables.methods.ga import gradient_ascent


def normalized(products: Products, values: Values) -> tuple[float, float]:
    """(1 / |forget gradient|, 1 / |retain gradient|), 0 for a gradient that is 0."""
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
