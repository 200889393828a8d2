"""Refusals: teach "I don't know" instead of the answer (TOFU's preference baseline; arXiv 2404.05868, section 2).

    L_IDK+RT(theta) = CE(x_forget, y_idk) + w CE(x_retain, y)
    L_IDK+AP(theta) = CE(x_forget, y_idk) + w L_AP,
        L_AP = -(1/beta) E_retain[ log sigmoid( -beta log( p(y_idk|x) / p(y|x) ) ) ]

The forget answers are never read: the model learns to refuse, which hides what it knows more than it removes it
(probabilities and attacks reveal it, ROUGE does not). Only the retain term keeps the refusal from spreading to other
questions. Answer preservation (AP) states that directly: on retain questions the true answer must beat the refusal.

Each mean is over tokens: of the refusals in the first term, of the retain answers in the second. The NPO paper's code
takes ONE mean over refusals and retain answers together, so the retain answers, which are longer, weigh more there
(`compat: npo`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import BETA, RETAIN_WEIGHT, Forget, Method, Values, require

if TYPE_CHECKING:
    from torch import Tensor


def refusal(forget: Forget, values: Values) -> Tensor:
    """(rows,) -log p(refusal|x), nats."""
    return -require(forget.alternative, "alternative").sequence


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
    hyperparameters={"beta": BETA, "retain_weight": RETAIN_WEIGHT},
)
