"""Entropy maximisation on the forget answers (Get Confused Cautiously, arXiv 2408.04983: the loss of EMSO).

    L_EM(theta) = -E_tokens[ H(p) ] = E_tokens[ sum_v p_v log p_v ],   between -log V and 0
    L_EM+RT     = L_EM + w CE(x_retain, y)

The loss reads whole distributions and neither the target model nor the true tokens: any confident prediction on a
forget answer is flattened.

Trap, the vanishing gradient: d L / d z_v = p_v (log p_v + H) for logits z. Where one token is certain, its log p_v + H
vanishes, and so does p_v of every other token. With 32,000 tokens and one dominant logit the gradient has length 2.4 at
p = .41, .15 at p = .99 and .0014 at p = .99993; that of `me` (KL from uniform, p - U) has .41, .99 and 1.0. A target
model that knows the rows by heart hardly moves at first, so use a learning rate several times that of `me`, or `me`
itself.

The paper updates only the weights that a contrastive score of gradients selects. The authors publish no code; here all
weights are trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Method, Values
from trainables.methods.tokens import cross_entropy, kept_logits, sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def negative_entropy(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of sum_v p_v log p_v, <= 0, nats. Tokens with logit -inf count nothing."""
    log_p = kept_logits(forget.model, "model").log_softmax(-1)
    return sum_over_answer(-cross_entropy(log_p.exp(), log_p), forget.model)


EM = Method(
    name="em",
    forget_loss=negative_entropy,
    reduction="tokens",
    source="Get Confused Cautiously (EMSO) 2024, arXiv 2408.04983",
    needs_logits=True,
)
EM_RT = EM.with_retain("em_rt", "nll")
