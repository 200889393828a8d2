"""Negative preference optimization (Zhang, Lin, Bai & Mei 2024, arXiv 2404.05868).

    L_NPO(theta) = -(2/beta) E_forget[ log sigmoid( -beta log( p_theta(y|x) / p_ref(y|x) ) ) ]

DPO with only the dispreferred answer. Its gradient is that of gradient ascent, each row weighted by

    W = 2 p_theta^beta / (p_theta^beta + p_ref^beta)

which is 1 at the reference and falls to 0 as the row is forgotten, so unlearning slows down where ascent collapses.
beta -> 0 gives gradient ascent on the sum over the answer (L_NPO - (2/beta) log 2 -> E log(p_theta / p_ref)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainables.methods.method import Hyperparameter, Method, log_sigmoid, sequence_log_probs

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.scores import Scores

BETA = Hyperparameter(low=0.01, high=1.0, log=True, default=0.1)


def negative_preference(model: Scores, reference: Scores | Tensor | None, hyper: Mapping[str, float]) -> Tensor:
    """(rows,) the loss of each forget row, >= 0; `reference` is (rows,) log p_ref(y|x) of the target model."""
    beta = hyper["beta"]
    log_p = model.sequence
    log_ratio = log_p - sequence_log_probs(reference, rows=len(log_p))
    return -(2 / beta) * log_sigmoid(-beta * log_ratio)


NPO = Method(
    name="npo",
    forget_loss=negative_preference,
    reduction="sequence",
    reference="sequence",
    hyperparameters={"beta": BETA},
)
NPO_RT = NPO.with_retain("npo_rt", "nll")
NPO_KL = NPO.with_retain("npo_kl", "kl")
