"""Kahneman-Tversky optimization with the forget answers as undesirable (arXiv 2402.01306; arXiv 2404.05868).

    L_KTO(theta) = 1 - (2/beta) E_forget[ log sigmoid( K - beta log( p(y|x) / p_ref(y|x) ) ) ]
    K            = E_forget[ log( p(y_idk|x) / p_ref(y_idk|x) ) ]      (a number: no gradient)

K is the point that the log-ratio is judged from: how far the model has moved on refusals. With K = 0 it is NPO + 1.
At the reference the value is 1 + (2/beta) log 2.

Traps: the NPO paper's code multiplies only the log-ratio by beta, not K, and does not clamp K at 0 as the KTO paper
does; both are kept. Its K is a mean over one micro-batch of one worker (`compat: npo`); here over the whole optimizer
batch, so that it does not depend on how the batch is split. Its logarithm of the sigmoid replaces KTO's sigmoid, whose
gradient fades.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import (
    Forget,
    Hyperparameter,
    Method,
    Values,
    given,
    log_ratio,
    log_sigmoid,
)

if TYPE_CHECKING:
    from torch import Tensor

BETA = Hyperparameter(low=0.01, high=1.0, log=True, default=0.1)


def refusal_log_ratio(forget: Forget, values: Values) -> Tensor:
    """(rows,) log( p(y_idk|x) / p_ref(y_idk|x) ), whose mean is K."""
    return log_ratio(given(forget.alternative, "alternative"), forget.alternative_reference)


def undesirable(forget: Forget, values: Values) -> Tensor:
    """(rows,) the loss of each forget row, >= 1, nats. Raises ValueError without K."""
    beta, anchor = values["beta"], forget.statistic
    if anchor is None:
        raise ValueError("statistic None must be the mean log-ratio of the refusals: pass Method.statistic's mean")
    return 1 - (2 / beta) * log_sigmoid(anchor.detach() - beta * log_ratio(forget.model, forget.reference))


KTO = Method(
    name="kto",
    forget_loss=undesirable,
    reduction="rows",
    source="Zhang, Lin, Bai & Mei 2024, arXiv 2404.05868; Ethayarajh et al. 2024, arXiv 2402.01306",
    reference="log_probs",
    alternative="refusal",
    hyperparameters={"beta": BETA},
    statistic=refusal_log_ratio,
)
KTO_RT = KTO.with_retain("kto_rt", "nll")
