"""Gradient ascent: undo training by maximising the loss on the forget rows (the baseline of arXiv 2404.05868).

    L_GA(theta) = E_forget[ log p_theta(y|x) ] = -E_forget[ CE(x, y) ]

The mean is over answer tokens, as in the paper's code, so long answers weigh more. The loss has no lower bound: its
gradient never fades, and the model is destroyed a few steps after it has forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Method, Values

if TYPE_CHECKING:
    from torch import Tensor


def gradient_ascent(forget: Forget, values: Values) -> Tensor:
    """(rows,) log p(y|x), nats. Minimising it is ascent on the cross-entropy."""
    return forget.model.sequence


GA = Method(
    name="ga",
    forget_loss=gradient_ascent,
    reduction="tokens",
    source="Zhang, Lin, Bai & Mei 2024, arXiv 2404.05868, section 2",
)
GA_RT = GA.with_retain("ga_rt", "nll")
GA_KL = GA.with_retain("ga_kl", "kl")
