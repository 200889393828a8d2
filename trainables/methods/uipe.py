"""Extrapolated unlearning: go on along the straight line from the target model (UIPE, arXiv 2503.04693).

    theta(alpha) = theta_un + alpha ( theta_un - theta ),   theta_un: theta after `fit_epochs` epochs of NPO+RT

Unlearning moves the weights away from what they know; what is related to the forget rows often lies further along the
same line. The trial unlearns once. Each of its epochs then evaluates one point, alpha = e/E of `extrapolation`, so many
alphas cost evaluations only. `extrapolated` gives the same for any other method, in a plug-in.

Traps: damage to other knowledge grows with the same factor, so forget quality rises and then falls along the line.
Points are computed in float32. alpha = 0 is theta_un, alpha = -1 the target model.
"""

from __future__ import annotations

from trainables.methods.base import FIT_EPOCHS, Hyperparameter, Method, Values
from trainables.methods.npo import NPO_RT


def beyond(share: float, values: Values) -> float:
    """The factor of the movement, 1 + alpha."""
    return 1 + values["extrapolation"] * share


def extrapolated(method: Method, name: str) -> Method:
    """UIPE on the given method, which then runs before the trial's first epoch."""
    return method.on_line(
        name,
        beyond,
        source="UIPE 2025, arXiv 2503.04693",
        extrapolation=Hyperparameter(low=0.05, high=2.0, log=True, default=1.0, gt=0, about="alpha of the last epoch"),
        fit_epochs=FIT_EPOCHS,
    )


UIPE = extrapolated(NPO_RT, "uipe")
