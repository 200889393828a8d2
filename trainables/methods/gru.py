"""Gradient rectified unlearning: no step of forgetting may raise the retain loss (Wang et al. 2025, arXiv 2503.09117).

    g = g_F - min( 0, <g_F, g_R> ) / |g_R|^2  g_R  +  g_R

g_F: gradient of the forget loss (here NPO), g_R: of the plain loss on retain rows. What g_F has against g_R is
projected off, so that to first order forgetting leaves the retain loss alone; where they agree nothing is changed.
The retain gradient itself is added with weight 1, as in the variants that the authors' code marks +ce; the paper's
plain form stops before it. So g never points against g_R.

Products are over the whole optimizer batch. The authors smooth g_R over steps (moving average, factor .8 to .99 on
the present); with batches of 32 rows the present one is taken as it is.
"""

from __future__ import annotations

from trainables.methods.base import Method, Products, Values
from trainables.methods.npo import BETA, negative_preference


def rectified(products: Products, values: Values) -> tuple[float, float]:
    """(1, 1) where the gradients do not conflict, else (1, 1 + what takes the conflict out of the forget gradient)."""
    if products.retain == 0 or products.both >= 0:
        return 1.0, 1.0
    return 1.0, 1.0 - products.both / products.retain


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
