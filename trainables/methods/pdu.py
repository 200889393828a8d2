"""Primal-dual unlearning: flatten the logits, subject to a retain loss that is good enough (arXiv 2506.05314).

    minimise  E_tokens[ ( max_v z_v - mean_v z_v )^2 ]   subject to   CE(x_retain, y) <= epsilon
    lambda  <-  max( 0, lambda + s ( CE(x_retain, y) - epsilon ) )    after every step

The loss is about logits, not probabilities: no softmax that saturates, a gradient until all logits are equal. The
retain weight is the constraint's multiplier lambda: it grows while the retain loss is above epsilon and falls, to 0 if
need be, while it is below, so `epsilon` is what one chooses instead of a weight. `retain_weight` is where lambda
starts, `dual_step` is s. epsilon must be above the target model's own retain loss, or lambda grows for ever.

The published code keeps lambda fixed for the first 5 of 10 epochs; here it moves from the first step. That code moves
lambda after every micro-batch, on every worker by itself, so that it takes as many steps as there are micro-batches;
here once an optimizer step, by the retain loss of the whole batch, so that it does not depend on how the batch is
split. And it uses an unshifted mask: it flattens the logits behind each answer token, the end of sequence included,
and not those that predict the first one (the gradient differs by half). Here it is the positions that predict answer
tokens, which are what must be forgotten. `compat: open_unlearning` has the mask and the micro-batches. Tokens that the
model can never say (logit -inf) are left out of the mean.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Hyperparameter, Method, Published, Values
from trainables.methods.tokens import kept_logits, sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def logit_margin(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of the squared margin between largest and mean logit, >= 0."""
    logits = kept_logits(forget.model, "model")
    never = logits.isneginf()
    mean = logits.masked_fill(never, 0.0).sum(-1) / (~never).sum(-1)
    return sum_over_answer((logits.amax(-1) - mean).square(), forget.model)


def dual_ascent(weight: float, retain_loss: float, values: Values) -> float:
    """The multiplier, >= 0, after a step with this retain loss (nats per token). NaN and infinity move nothing."""
    if not isfinite(retain_loss):
        return weight
    return max(0.0, weight + values["dual_step"] * (retain_loss - values["epsilon"]))


PDU = Method(
    name="pdu",
    forget_loss=logit_margin,
    reduction="tokens",
    source="Entesari, Hatami, Khaziev, Ramakrishna & Fazlyab 2025, arXiv 2506.05314",
    retain="nll",
    hyperparameters={
        "epsilon": Hyperparameter(low=0.01, high=3.0, log=True, default=0.3),
        "dual_step": Hyperparameter(low=0.1, high=10.0, log=True, default=5.0),
        "retain_weight": Hyperparameter(low=1.0, high=200.0, log=True, default=100.0),
    },
    needs_logits=True,
    multiplier=dual_ascent,
    published={"open_unlearning": Published("tokens", later=True)},
)
