"""Kahneman-Tversky optimization with the forget answers as undesirable (arXiv 2402.01306; arXiv 2404.05868).

    L_KTO(theta) = 1 - (2/beta) E_forget[ log sigmoid( K - beta log( p(y|x) / p_ref(y|x) ) ) ]
    K            = E_forget[ log( p(y_idk|x) / p_ref(y_idk|x) ) ]      (a number: no gradient)

K is the reference point of the log-ratio: how far the model has moved on refusals. With K = 0 the loss is NPO + 1. At
the reference its value is 1 + (2/beta) log 2.

Traps: the NPO paper's code multiplies only the log-ratio by beta, not K, and does not clamp K at 0 as the KTO paper
does; this file follows it in both. Its K is a mean over one micro-batch of one worker (`compat: npo`); here K is over
the whole optimizer batch, so it does not depend on how the batch is split. The log of the sigmoid replaces KTO's
sigmoid, whose gradient fades.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import BETA, Forget, Method, Values, log_ratio, log_sigmoid, require

if TYPE_CHECKING:
    from torch import Tensor


def refusal_log_ratio(forget: Forget, values: Values) -> Tensor:
    """(rows,) log( p(y_idk|x) / p_ref(y_idk|x) ), whose mean is K."""
    return log_ratio(require(forget.alternative, "alternative"), forget.alternative_reference)


def undesirable(forget: Forget, values: Values) -> Tensor:
    """(rows,) loss of each forget row, >= 1, nats. Raises ValueError without K."""
    beta, k = values["beta"], forget.statistic
    if k is None:
        raise ValueError("statistic None must be the mean log-ratio of the refusals: pass Method.statistic's mean")
    return 1 - (2 / beta) * log_sigmoid(k.detach() - beta * log_ratio(forget.model, forget.reference))


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
