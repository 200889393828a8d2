"""Averages with the target model after fine-tuning on other answers (ULMR, EMNLP 2024, industry track 57).

    theta(alpha) = (1 - alpha) theta + alpha theta_sft,   theta_sft: theta fine-tuned on other answers, CE(x_forget, y')

y' are answers that the target model itself gives when it is asked for another one, as in AltPO. No retain rows are
read: only the average pulls the model back to what it knew. The trial fine-tunes once, for `fit_epochs` epochs; each of
its epochs then evaluates one point, alpha = e/E of `average`, so the whole line costs evaluations only. `averaged`
gives the same for any other method, in a plug-in.

Traps: forgetting is not linear along the line. Points are computed in float32. The authors publish no code, and neither
their prompts nor their alpha could be had.
"""

from __future__ import annotations

from trainables.methods.base import FIT_EPOCHS, Hyperparameter, Method, Values
from trainables.methods.idk import refusal


def between(share: float, values: Values) -> float:
    """The factor of the movement, alpha."""
    return values["average"] * share


def averaged(method: Method, name: str) -> Method:
    """Averages of the target model and what the given method makes of it before the trial's first epoch."""
    return method.on_line(
        name,
        between,
        source="ULMR 2024, EMNLP industry track 57 (no arXiv number)",
        average=Hyperparameter(low=0.1, high=1.0, log=False, default=1.0, gt=0, le=1, about="alpha of the last epoch"),
        fit_epochs=FIT_EPOCHS,
    )


ULMR = averaged(
    Method(
        name="other_answers",
        forget_loss=refusal,
        reduction="alternative_tokens",
        source="ULMR 2024, EMNLP industry track 57 (no arXiv number)",
        alternative="generated",
    ),
    "ulmr",
)
