"""Cross-entropy unlearning: learn the model's own distribution without the true token (Yang 2025, arXiv 2503.01224).

    L_CE-U(theta) = E_tokens[ CE( q, softmax( z ) ) ],   q = softmax( z with z[y_t] = -inf )   (q: no gradient)

Equals H(q) - log(1 - p(y_t)): it never blows up where the token is forgotten already (ascent's gradient grows there),
and pushes with full force where the model is certain (ascent's vanishes there). No reference, no retain term, no
hyper-parameter but the learning rate.

The first token of each answer is left out, as in the paper: it says more about how answers begin than about the fact.
The mean is over the tokens that are left, as in the published code. An answer of one token contributes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Method, Values
from trainables.methods.tokens import cross_entropy, kept_logits, kept_targets

if TYPE_CHECKING:
    from torch import Tensor


def without_the_token(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over all answer tokens but the first of the cross-entropy with q, >= 0, nats."""
    model = forget.model
    logits = kept_logits(model, "model")
    others = logits.detach().scatter(-1, kept_targets(model), float("-inf"))
    # Where the model can say nothing else there is nothing to learn: softmax would be 0 / 0.
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
