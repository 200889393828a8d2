"""Forget-data-only loss adjustment: as far as possible from the answer, towards a refusal (arXiv 2410.11143).

    L_FLAT(theta) = E_forget[ -g*( P(x, y_idk) ) + f*( g*( P(x, y) ) ) ],   P(x, y) = (1/|y|) sum_t p(y_t)

with the total variation, g*(v) = tanh(v) / 2 and f*(u) = u: the variational form of the f-divergence between template
answers and forget answers, made large. Neither a reference model nor retain rows are read.

P is a mean of probabilities, not of their logarithms, so tokens that are forgotten have almost no gradient left, and
the loss lies between -tanh(1)/2 and tanh(1)/2: it cannot run away. There is no hyper-parameter.

The published function for one row is this one. As it is run, g* is applied to the mean of P over the batch, where
prompt and padding count as tokens of probability 0: P is smaller, tanh is steeper (rows 40 wide: the gradient is 6
times as long, its cosine .97), and the loss depends on how long the longest row is; here it is each row's own P, over
answer tokens. The other divergences of the paper (KL, Jensen-Shannon, Pearson) are not here: total variation is the
one its code falls back on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import Forget, Method, Values, given
from trainables.methods.tokens import sum_over_answer

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.batching.scores import Scores


def mean_probability(scores: Scores) -> Tensor:
    """(rows,) mean probability of an answer token, in [0, 1]."""
    return sum_over_answer(scores.token_log_probs.exp(), scores) / scores.lengths


def total_variation(forget: Forget, values: Values) -> Tensor:
    """(rows,) tanh(P(answer)) / 2 - tanh(P(refusal)) / 2."""
    refused = mean_probability(given(forget.alternative, "alternative"))
    return (mean_probability(forget.model).tanh() - refused.tanh()) / 2


FLAT = Method(
    name="flat",
    forget_loss=total_variation,
    reduction="rows",
    source="Wang, Wei, Liu, Pang, Liu, Shah, Bao, Liu & Wei 2024, arXiv 2410.11143, table 2",
    alternative="refusal",
)
