"""Simple negative preference optimization: NPO without a reference, per token (Fan et al. 2024, arXiv 2410.07163).

    L_SimNPO(theta) = -(2/beta) E_forget[ log sigmoid( beta ( -(1/|y|) log p_theta(y|x) - delta ) ) ]
                      + w CE(x_retain, y)

The mean log-probability per token replaces the log-ratio to the reference. Short answers are unlearned as hard as long
ones, and rows that the target model hardly knew are pushed less than rows it knows by heart. For large beta only
answers above exp(-delta) per token are still pushed; as beta -> 0 every row is (plain ascent).

`margin` is delta, in nats per token; the paper and its code call it gamma and find 0 best. Their code weights the
forget term by .1375 (forget05, beta 2.5) or .125 (forget10, beta 4.5) and the retain term by 1. Here the forget term
has weight 1, so the retain weight is the inverse, 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Hyperparameter, Method, Values, log_sigmoid

if TYPE_CHECKING:
    from torch import Tensor


def simple_negative_preference(forget: Forget, values: Values) -> Tensor:
    """(rows,) loss of each forget row, >= 0, nats."""
    beta = values["beta"]
    per_token = -forget.model.sequence / forget.model.lengths
    return -(2 / beta) * log_sigmoid(beta * (per_token - values["margin"]))


SIMNPO = Method(
    name="simnpo",
    forget_loss=simple_negative_preference,
    reduction="rows",
    source="Fan, Liu, Lin, Jia, Zhang, Mei & Liu 2024, arXiv 2410.07163",
    retain="nll",
    hyperparameters={
        "beta": Hyperparameter(low=0.5, high=10.0, log=True, default=4.5, gt=0),
        "margin": Hyperparameter(
            low=0.0, high=2.0, log=False, default=0.0, about="delta in the equation, nats per token"
        ),
        "retain_weight": Hyperparameter(low=1.0, high=20.0, log=True, default=8.0, ge=0),
    },
)
