"""Primal-dual unlearning: flatten the logits while the retain loss stays below a limit (arXiv 2506.05314).

    minimise  E_tokens[ ( max_v z_v - mean_v z_v )^2 ]   subject to   CE(x_retain, y) <= epsilon
    lambda  <-  max( 0, lambda + s ( CE(x_retain, y) - epsilon ) )    after every step

The loss is on logits, not probabilities: no softmax saturates, and the gradient lasts until all logits are equal. The
retain weight is the constraint's multiplier lambda. It grows while the retain loss is above epsilon and falls, down to
0, while it is below, so one chooses `epsilon` instead of a weight. `retain_weight` is the initial lambda, `dual_step`
is s. epsilon must be above the target model's own retain loss, or lambda grows forever.

The published code differs in three ways. It keeps lambda fixed for the first 5 of 10 epochs; here lambda moves from the
first step. It updates lambda after every micro-batch, on each worker separately; here lambda moves once per optimizer
step, by the retain loss of the whole batch, so it does not depend on how the batch is split. And its mask is not
shifted: it flattens the logits after each answer token, end of sequence included, but not those that predict the first
one (the gradient differs by half); here the positions are those that predict answer tokens. `compat: open_unlearning`
has its mask and micro-batches. Tokens with logit -inf are left out of the mean.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Hyperparameter, Method, Published, Values
from trainables.methods.tokens import kept_logits, sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor


def logit_margin(forget: Forget, values: Values) -> Tensor:
    """(rows,) sum over answer tokens of the squared distance between the largest and the mean logit, >= 0."""
    logits = kept_logits(forget.model, "model")
    impossible = logits.isneginf()
    mean = logits.masked_fill(impossible, 0.0).sum(-1) / (~impossible).sum(-1)
    return sum_over_answer((logits.amax(-1) - mean).square(), forget.model)


def dual_ascent(weight: float, retain_loss: float, values: Values) -> float:
    """The multiplier (>= 0) after a step with this retain loss, nats per token. NaN and infinity change nothing."""
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
        "epsilon": Hyperparameter(
            low=0.01, high=3.0, log=True, default=0.3, ge=0, about="largest allowed retain loss, nats per token"
        ),
        "dual_step": Hyperparameter(
            low=0.1, high=10.0, log=True, default=5.0, gt=0, about="step size of the multiplier"
        ),
        "retain_weight": Hyperparameter(low=1.0, high=200.0, log=True, default=100.0, ge=0),
    },
    needs_logits=True,
    multiplier=dual_ascent,
    published={"open_unlearning": Published("tokens", later=True)},
)
