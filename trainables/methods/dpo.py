"""Direct preference optimization with a refusal as the preferred answer (arXiv 2305.18290; arXiv 2404.05868).

    L_DPO(theta) = -(2/beta) E_forget[ log sigmoid( beta log( p(y_idk|x) / p_ref(y_idk|x) )
                                                    - beta log( p(y|x) / p_ref(y|x) ) ) ]

At the reference the value is (2/beta) log 2, and both log-ratios pull with weight 1: towards the refusal, away from the
answer. The loss does not care which of the two moves, so the answer may remain likely. The NPO paper's code fixes the
weight of the retain term to 1; here it can be searched.

The factor is 2/beta as in that paper, not plain DPO's 1, so gradients keep their size while beta is searched. `idk_dpo`
is the same loss as `dpo_rt`, under the name that later comparisons (open-unlearning) use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trainables.methods.base import BETA, Forget, Method, Values, log_ratio, log_sigmoid, require

if TYPE_CHECKING:
    from torch import Tensor


def preference(forget: Forget, values: Values) -> Tensor:
    """(rows,) loss of each forget row against its alternative answer, >= 0, nats."""
    beta = values["beta"]
    won = log_ratio(require(forget.alternative, "alternative"), forget.alternative_reference)
    lost = log_ratio(forget.model, forget.reference)
    return -(2 / beta) * log_sigmoid(beta * (won - lost))


DPO = Method(
    name="dpo",
    forget_loss=preference,
    reduction="rows",
    source="Zhang, Lin, Bai & Mei 2024, arXiv 2404.05868; Rafailov et al. 2023, arXiv 2305.18290, equation 7",
    reference="log_probs",
    alternative="refusal",
    hyperparameters={"beta": BETA},
)
DPO_RT = DPO.with_retain("dpo_rt", "nll")
DPO_KL = DPO.with_retain("dpo_kl", "kl")
IDK_DPO = replace(DPO_RT, name="idk_dpo")
