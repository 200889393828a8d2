"""Saturation and importance: ascent on tokens that are neither forgotten nor certain (arXiv 2505.11953).

    L_SatImp(theta) = E_tokens[ w_t log p(y_t) ] + w CE(x_retain, y),   w_t = p^beta1 (1 - p)^beta2   (no gradient)

p^beta1 is saturation: as in WGA, tokens that are already forgotten are left alone. (1 - p)^beta2 is importance: tokens
that any model is certain of, like the second half of a word, are left alone. beta2 = 0 gives WGA; both 0, gradient
ascent.

The authors weight the forget term 10 times the retain term (hence .1). open-unlearning's configuration file has it the
other way round, although its notes on the method agree with the authors. The authors' code advises beta2 = .1; the
default here, 1, is open-unlearning's.

Trap: if the model knows the answers by heart, every p is near 1 and every weight near 0, so unlearning starts slowly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Hyperparameter, Method, Values
from trainables.methods.tokens import sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def saturation_importance(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of p^beta1 (1 - p)^beta2 log p, <= 0, nats."""
    log_p = forget.model.token_log_probs
    frozen = log_p.detach()
    # 1 - p as -expm1(log p) keeps its digits where p is almost 1; rounding can make log p positive.
    weight = frozen.exp() ** values["beta1"] * (-frozen.expm1()).clamp(min=0.0) ** values["beta2"]
    return sum_over_answer(weight * log_p.masked_fill(weight == 0, 0.0), forget.model)


SATIMP = Method(
    name="satimp",
    forget_loss=saturation_importance,
    reduction="tokens",
    source="Yang, Wang, Huang, Liu, Zhang & Han 2025, arXiv 2505.11953, section 5",
    retain="nll",
    hyperparameters={
        "beta1": Hyperparameter(low=0.0, high=10.0, log=False, default=5.0, ge=0, about="exponent of p"),
        "beta2": Hyperparameter(low=0.0, high=3.0, log=False, default=1.0, ge=0, about="exponent of 1 - p"),
        "retain_weight": Hyperparameter(low=0.01, high=10.0, log=True, default=0.1, ge=0),
    },
)
