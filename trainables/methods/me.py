"""Maximum entropy: make every token of a forget answer equally likely (Yuan et al. 2024, arXiv 2410.08109).

    L_ME+GD(theta) = E_tokens[ KL( U || p ) ] + w CE(x_retain, y),   KL( U || p ) = (1/V) sum_v log( (1/V) / p_v )

Untargeted: no other answer replaces the true one. The loss has a minimum, 0, so it cannot diverge as ascent does. The
gradient on the logits is p - U: bounded, and nonzero until the minimum is reached.

KL( U || p ) is the direction of the authors' code, which weights the forget term by .1 and the retain term by 1; hence
10 here. As run, that code also counts the tokens of the questions and all padding up to the longest row (with rows 40
wide the gradient differs by 2%), which makes the model forget how questions are asked; here only answer tokens count.
It adds 1e-12 to every p, which changes nothing above that. Tokens with logit -inf, as in padded vocabularies, are left
out of U.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Hyperparameter, Method, Values
from trainables.methods.tokens import kept_logits, sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def away_from_uniform(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of KL( U || p ), >= 0, nats."""
    logits = kept_logits(forget.model, "model")
    impossible = logits.isneginf()
    size = (~impossible).sum(-1).to(logits.dtype)
    mean_log_p = logits.log_softmax(-1).masked_fill(impossible, 0.0).sum(-1) / size
    return sum_over_answer(-size.log() - mean_log_p, forget.model)


ME = Method(
    name="me",
    forget_loss=away_from_uniform,
    reduction="tokens",
    source="Yuan, Pang, Du, Chen, Zhang & Lin 2024, arXiv 2410.08109",
    retain="nll",
    hyperparameters={"retain_weight": Hyperparameter(low=1.0, high=100.0, log=True, default=10.0, ge=0)},
    needs_logits=True,
)
