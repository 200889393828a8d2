"""Sharpness-aware unlearning: NPO at the worst nearby weights (Fan et al. 2025, arXiv 2502.05374).

    min_theta  max_{|delta| <= rho} L_NPO(theta + delta) + w CE(x_retain, y; theta)

    gradient:  grad L_NPO( theta + rho g / |g| ) + w grad CE(theta),   g = grad L_NPO(theta)

delta is the direction in which the forget loss rises fastest, which is where relearning would go. Rows are forgotten in
a whole neighbourhood of the weights, so a few steps of fine-tuning (or rounding the weights) do not bring them back.
Costs a second forward and backward pass over the forget rows.

`radius` is rho, a length in the space of all weights. The authors run WMDP and MUSE with .01 (their configuration files
default to .1); good values grow with the size of the model. Here the loss is NPO of whole answers. The authors' MUSE
code takes NPO of logits instead of log-probabilities. Their WMDP code takes the log-ratio of mean losses per token over
the batch, as if beta were divided by the tokens of all answers (its gradient has cosine .64 with this one).
"""

from __future__ import annotations

from trainables.methods.base import BETA, RETAIN_WEIGHT, Hyperparameter, Method
from trainables.methods.npo import negative_preference

SAM = Method(
    name="sam",
    forget_loss=negative_preference,
    reduction="rows",
    source="Fan, Jia, Zhang, Ramakrishna, Hong & Liu 2025, arXiv 2502.05374",
    reference="log_probs",
    retain="nll",
    hyperparameters={
        "beta": BETA,
        "radius": Hyperparameter(
            low=1e-3, high=1.0, log=True, default=0.01, gt=0, about="largest distance of the worst nearby weights"
        ),
        "retain_weight": RETAIN_WEIGHT,
    },
    worst_nearby=True,
)
