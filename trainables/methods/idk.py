"""Refusals: teach "I don't know" in place of the answer (TOFU's preference baseline; arXiv 2404.05868, section 2).

    L_IDK+RT(theta) = CE(x_forget, y_idk) + w CE(x_retain, y)
    L_IDK+AP(theta) = CE(x_forget, y_idk) + w L_AP,
        L_AP = -(1/beta) E_retain[ log sigmoid( -beta log( p(y_idk|x) / p(y|x) ) ) ]

The forget answers are never read: the model learns to refuse, which hides what it knows more than it removes it
(probability and attacks see it, ROUGE does not). Nothing stops the refusal from spreading to other questions but the
retain term; answer preservation (AP) says so directly: on retain questions the true answer must beat the refusal.

Both means are taken over tokens: of the refusals for the first term, of the retain answers for the second. The NPO
paper's code has ONE mean over refusals and retain answers together, so the retain answers, which are longer, weigh
more there (`compat: npo`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import (
    RETAIN_WEIGHT,
    Forget,
    Hyperparameter,
    Method,
    Values,
    given,
)

if TYPE_CHECKING:
    from torch import Tensor


def refusal(forget: Forget, values: Values) -> Tensor:
    """(rows,) -log p(refusal|x), nats."""
    return -given(forget.alternative, "alternative").sequence


IDK_RT = Method(
    name="idk_rt",
    forget_loss=refusal,
    reduction="alternative_tokens",
    source="Maini, Feng, Schwarzschild, Lipton & Kolter 2024, arXiv 2401.06121",
    alternative="refusal",
    retain="nll",
    hyperparameters={"retain_weight": RETAIN_WEIGHT},
)
IDK_AP = Method(
    name="idk_ap",
    forget_loss=refusal,
    reduction="alternative_tokens",
    source="Yuan, Pang, Du, Chen, Zhang & Lin 2024, arXiv 2410.08109",
    alternative="refusal",
    retain="preference",
    hyperparameters={
        "beta": Hyperparameter(low=0.01, high=1.0, log=True, default=0.1),
        "retain_weight": RETAIN_WEIGHT,
    },
)
