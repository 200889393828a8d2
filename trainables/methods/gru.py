"""Gradient rectified unlearning: forgetting must not raise the retain loss (Wang et al. 2025, arXiv 2503.09117).

    g = g_F - min( 0, <g_F, g_R> ) / |g_R|^2  g_R  +  g_R

g_F is the gradient of the forget loss (here NPO), g_R that of the cross-entropy on retain rows. If the two conflict,
the part of g_F that opposes g_R is projected out, so that forgetting leaves the retain loss unchanged to first order;
otherwise g_F stays as it is. g_R itself is added with weight 1, as in the variants that the authors' code marks +ce
(the paper's plain form leaves it out), so g never opposes g_R.

Products are over the whole optimizer batch. The authors smooth g_R over steps (moving average with weight .8 to .99 on
the current step); with batches of 32 rows the current g_R is used alone.
"""

from __future__ import annotations

from trainables.methods.base import BETA, Method, Products, Values
from trainables.methods.npo import negative_preference


def rectified(products: Products, values: Values) -> tuple[float, float]:
    """(1, 1) if the gradients do not conflict, else (1, 1 + the factor that removes the conflict)."""
    if products.retain == 0 or products.inner >= 0:
        return 1.0, 1.0
    return 1.0, 1.0 - products.inner / products.retain


GRU = Method(
    name="gru",
    forget_loss=negative_preference,
    reduction="rows",
    source="Wang, Wang, Liu, Huang, Du, Du & Han 2025, arXiv 2503.09117, section 3",
    reference="log_probs",
    retain="nll",
    hyperparameters={"beta": BETA},
    combine=rectified,
)
