"""Adaptive ascent: rows that are already forgotten weigh less (SFR-on, arXiv 2409.19732, carried over to text).

    L_SFR(theta) = -sum_i w_i l_i + w CE(x_retain, y),   w_i = l_i^-lambda / sum_j l_j^-lambda   (no gradient)

l_i is the cross-entropy of forget row i, the mean over its answer tokens. The sums go over the rows of the optimizer
batch. lambda = 0 weighs all rows alike and gives ascent on row means; lambda = 1 gives their harmonic mean.

The authors run image classifiers and diffusion models; nothing in the loss needs images. Their masks of weights and
their alternation of forget and retain steps are not part of this method.

Trap: a row that is known by heart has l near 0 and would take all of the weight. Losses below .001 nats count as .001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import RETAIN_WEIGHT, Forget, Hyperparameter, Method, Values

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-3
"""Nats per token below which a row counts as known by heart."""


def _row_loss(forget: Forget) -> Tensor:
    """(rows,) cross-entropy of each row, the mean over its answer tokens, nats."""
    return -forget.model.sequence / forget.model.lengths


def weight(forget: Forget, values: Values) -> Tensor:
    """(rows,) l^-lambda, before it is divided by the batch's mean; no gradient."""
    return _row_loss(forget).detach().clamp(min=_LEAST) ** -values["smoothing"]


def adaptive_ascent(forget: Forget, values: Values) -> Tensor:
    """(rows,) -l_i w_i, where the mean of w over the batch is 1, nats. Raises ValueError without the batch's mean."""
    if forget.statistic is None:
        raise ValueError("statistic None must be the mean weight of the batch: pass Method.statistic's mean")
    return -_row_loss(forget) * weight(forget, values) / forget.statistic.detach()


SFRON = Method(
    name="sfron",
    forget_loss=adaptive_ascent,
    reduction="rows",
    source="Huang et al. 2024, arXiv 2409.19732, adaptive coefficients; a transfer to language models",
    retain="nll",
    hyperparameters={
        "smoothing": Hyperparameter(low=0.0, high=1.0, log=False, default=0.5, ge=0, about="lambda, see the equation"),
        "retain_weight": RETAIN_WEIGHT,
    },
    statistic=weight,
)
