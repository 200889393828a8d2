"""Negative preference optimization (Zhang, Lin, Bai & Mei 2024, arXiv 2404.05868).

    L_NPO(theta) = -(2/beta) E_forget[ log sigmoid( -beta log( p_theta(y|x) / p_ref(y|x) ) ) ]

This is DPO with only the dispreferred answer. Its gradient is that of gradient ascent with each row weighted by

    W = 2 p_theta^beta / (p_theta^beta + p_ref^beta)

W is 1 at the reference and falls to 0 as the row is forgotten, so unlearning slows down where ascent collapses.
As beta -> 0 it becomes gradient ascent on the sum over the answer: L_NPO - (2/beta) log 2 -> E log( p_theta / p_ref ).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import BETA, Forget, Method, Values, log_ratio, log_sigmoid

if TYPE_CHECKING:
    from torch import Tensor


def negative_preference(forget: Forget, values: Values) -> Tensor:
    """(rows,) loss of each forget row, >= 0, nats."""
    beta = values["beta"]
    return -(2 / beta) * log_sigmoid(-beta * log_ratio(forget.model, forget.reference))


NPO = Method(
    name="npo",
    forget_loss=negative_preference,
    reduction="rows",
    source="Zhang, Lin, Bai & Mei 2024, arXiv 2404.05868, equation 3",
    reference="log_probs",
    hyperparameters={"beta": BETA},
)
NPO_RT = NPO.with_retain("npo_rt", "nll")
NPO_KL = NPO.with_retain("npo_kl", "kl")
