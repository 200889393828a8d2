"""Token-wise negative preference optimization (Wang et al. 2025, arXiv 2502.19301).

    L_TNPO(theta) = -(2/beta) E_tokens[ log sigmoid( -beta log( p(y_t) / p_ref(y_t) ) ) ] + w KL(x_retain)

NPO on each token separately. The gradient on a token is that of ascent weighted by

    W_t = 2 p_t^beta / ( p_t^beta + p_ref,t^beta )

so a few forgotten tokens do not stop the unlearning of the rest of the row. At the reference the value is (2/beta)
log 2 and W_t = 1: the gradient of gradient ascent. As beta -> 0 it stays gradient ascent.

A token's log-ratio is about |y| times smaller than a row's, so beta must be larger than NPO's: the authors' code uses
4. That code writes the loss as weighted ascent. Its value differs, and it adds 1e-5 to the denominator of W_t, so its
gradient is equal only where p_t^beta is far above 1e-5. At beta 4 that means p_t above .06, as on a memorised target
(gradients differ by 2.5e-5). It leaves less likely tokens alone, while this loss pushes them until they are less likely
than under the reference: on a half memorised target the gradients' cosine is .84, on a random one .03. The retain term
is that code's KL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import RETAIN_WEIGHT, Forget, Hyperparameter, Method, Values, log_sigmoid
from trainables.methods.tokens import sum_over_answer, token_log_ratio

if TYPE_CHECKING:
    from torch import Tensor


def token_negative_preference(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of each token's NPO loss, >= 0, nats."""
    beta = values["beta"]
    per_token = -(2 / beta) * log_sigmoid(-beta * token_log_ratio(forget.model, forget.reference))
    return sum_over_answer(per_token, forget.model)


TNPO = Method(
    name="tnpo",
    forget_loss=token_negative_preference,
    reduction="tokens",
    source="Wang, Zhou, Zhou, Shin, Han & Weinberger 2025, arXiv 2502.19301",
    reference="log_probs",
    retain="kl",
    hyperparameters={
        "beta": Hyperparameter(low=0.5, high=10.0, log=True, default=4.0, gt=0),
        "retain_weight": RETAIN_WEIGHT,
    },
)
