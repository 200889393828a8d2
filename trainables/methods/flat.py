"""Forget-data-only loss adjustment: away from the answer, towards a refusal (Wang et al. 2024, arXiv 2410.11143).

    L_FLAT(theta) = E_forget[ -g*( P(x, y_idk) ) + f*( g*( P(x, y) ) ) ],   P(x, y) = (1/|y|) sum_t p(y_t)

With the total variation, g*(v) = tanh(v) / 2 and f*(u) = u. The loss is the negative variational form of the
f-divergence between refusals and forget answers. It reads no reference model and no retain rows.

P is a mean of probabilities, not of log-probabilities, so forgotten tokens have almost no gradient left, and the loss
stays between -tanh(1)/2 and tanh(1)/2. There are no hyper-parameters.

The published function for one row is this one. The published script, however, applies g* to the mean of P over the
batch, counting prompt and padding as tokens of probability 0. P is smaller there, tanh is steeper (with rows 40 wide
the gradient is 6 times as long, its cosine .97), and the loss depends on the longest row. Here P is per row, over
answer tokens. The paper's other divergences (KL, Jensen-Shannon, Pearson) are left out: total variation is the default
of its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Method, Values, require
from trainables.methods.tokens import sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.batching.scores import Scores


def mean_probability(scores: Scores) -> Tensor:
    """(rows,) mean probability of the answer tokens, in [0, 1]."""
    return sum_over_answer(scores.token_log_probs.exp(), scores) / scores.lengths


def total_variation(forget: Forget, values: Values) -> Tensor:
    """(rows,) tanh(P(answer)) / 2 - tanh(P(refusal)) / 2."""
    refused = mean_probability(require(forget.alternative, "alternative"))
    return (mean_probability(forget.model).tanh() - refused.tanh()) / 2


FLAT = Method(
    name="flat",
    forget_loss=total_variation,
    reduction="rows",
    source="Wang, Wei, Liu, Pang, Liu, Shah, Bao, Liu & Wei 2024, arXiv 2410.11143, table 2",
    alternative="refusal",
)
