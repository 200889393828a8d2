"""Task arithmetic: learn the forget set, then move the opposite way (Ilharco et al. 2023, arXiv 2212.04089).

    theta_u = theta - alpha ( theta_f - theta ),   theta_f: theta fine-tuned on the forget rows alone

No unlearning loop and no retain rows: one vector, found by ordinary fine-tuning for `fit_epochs` epochs at the
trial's learning rate, is subtracted `scale` (alpha) times. The loss below fits the vector; minimising it LEARNS the
forget rows. Only the vector's direction protects the retain set, so utility falls as alpha grows. If the target model
already knows the rows by heart, they give it almost no gradient: the vector is short, and alpha must be large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import FIT_EPOCHS, Forget, Hyperparameter, Method, Values

if TYPE_CHECKING:
    from torch import Tensor


def learn_by_heart(forget: Forget, values: Values) -> Tensor:
    """(rows,) -log p(y|x), nats: the loss of the fine-tuning that gives the vector."""
    return -forget.model.sequence


def backwards(share: float, values: Values) -> float:
    """The factor of the vector, -alpha in the trial's last epoch."""
    return -values["scale"] * share


TASK_ARITHMETIC = Method(
    name="task_arithmetic",
    forget_loss=learn_by_heart,
    reduction="tokens",
    source="Ilharco et al. 2023, arXiv 2212.04089, section 3",
    hyperparameters={
        "scale": Hyperparameter(
            low=0.1, high=10.0, log=True, default=1.0, gt=0, about="factor of the subtracted vector"
        ),
        "fit_epochs": FIT_EPOCHS,
    },
    line=backwards,
)
