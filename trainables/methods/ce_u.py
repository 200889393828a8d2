"""Cross-entropy unlearning: learn the model's own distribution without the true token (Yang 2025, arXiv 2503.01224).

    L_CE-U(theta) = E_tokens[ CE( q, softmax( z ) ) ],   q = softmax( z with z[y_t] = -inf )   (q: no gradient)

The loss equals H(q) - log(1 - p(y_t)). It does not blow up where the token is already forgotten (ascent's gradient
grows there), and it pushes with full force where the model is certain (ascent's gradient vanishes there). No reference,
no retain term, no hyper-parameter except the learning rate.

As in the paper, the first token of each answer is left out: it says more about how answers begin than about the fact.
The mean is over the remaining tokens, as in the published code; an answer of one token contributes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Method, Values
from trainables.methods.tokens import cross_entropy, kept_logits, kept_targets

if TYPE_CHECKING:
    from torch import Tensor


def without_the_token(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum of the cross-entropy with q over all answer tokens except the first, >= 0, nats."""
    model = forget.model
    logits = kept_logits(model, "model")
    others = logits.detach().scatter(-1, kept_targets(model), float("-inf"))
    # If every other token is impossible there is nothing to learn, and softmax would be 0 / 0.
    none_left = others.amax(-1, keepdim=True).isneginf()
    wanted = others.softmax(-1).masked_fill(none_left, 0.0)
    counted = model.mask & (model.mask.cumsum(-1) > 1)
    return cross_entropy(wanted, logits.log_softmax(-1)).masked_fill(~counted, 0.0).sum(-1)


CE_U = Method(
    name="ce_u",
    forget_loss=without_the_token,
    reduction="tokens_but_first",
    source="Yang 2025, arXiv 2503.01224",
    needs_logits=True,
)
