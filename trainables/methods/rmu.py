"""Representation misdirection: steer hidden states of one layer to a random vector (Li et al. 2024, arXiv 2403.03218).

    L_RMU(theta) = E_tokens[ |h(x_f) - c u|^2 / d ] + alpha E_tokens[ |h(x_r) - h_ref(x_r)|^2 / d ]

h are hidden states of width d after the layer, before any norm that follows. u is one random unit vector for the whole
trial (uniform entries, scaled to length 1), drawn from the trial's seed alone. c is `steering`, alpha `retain_weight`,
and `depth` chooses the layer as a share of all layers (the paper: after 8 of 32).

Traps: c must be large against the norms of the hidden states, or the target lies among them already. The paper trains
three matrices at and below the layer only; here every weight is trained, as in open-unlearning (which has c = 2,
alpha = 1), and weights above the layer get no gradient. Averages are over the positions of the whole batch that predict
answer tokens. The paper's code takes prompt and padding too. open-unlearning takes the positions of the answer tokens
themselves, and through a broadcast its mean over rows is mean(sum of each row) * mean(1 / tokens) (`compat:
open_unlearning`; the gradient differs by a quarter).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Hyperparameter, Method, Published, Values
from trainables.methods.tokens import kept_hidden, sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


@lru_cache(maxsize=8)
def direction(width: int, seed: int) -> Tensor:
    """(width,) random vector of length 1, float32 on the CPU; the same for all workers, steps and restarts.

    Its length is computed in float64, so it does not depend on the processor's order of additions.
    """
    import torch

    entries = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    unit: Tensor = entries / entries.double().norm().float()
    return unit


def misdirection(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of the mean squared distance to c u. Raises ValueError without hidden states."""
    hidden = kept_hidden(forget.model, "model")
    target = values["steering"] * direction(hidden.shape[-1], forget.seed).to(hidden)
    return sum_over_answer((hidden - target).square().mean(-1), forget.model)


RMU = Method(
    name="rmu",
    forget_loss=misdirection,
    reduction="tokens",
    source="Li, Pan, Gopal et al. 2024, arXiv 2403.03218, section 4",
    retain="hidden",
    hyperparameters={
        "depth": Hyperparameter(
            low=0.1, high=1.0, log=False, default=0.25, gt=0, le=1, about="steered layer, as a share of all layers"
        ),
        "steering": Hyperparameter(
            low=1.0, high=300.0, log=True, default=6.5, gt=0, about="length of the random target vector"
        ),
        "retain_weight": Hyperparameter(low=1.0, high=2000.0, log=True, default=1200.0, ge=0),
    },
    needs_hidden=True,
    published={"open_unlearning": Published("rows_by_length", later=True)},
)
