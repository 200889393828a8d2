"""Helpers of token-wise losses: sums over answer tokens, and cross-entropies that allow a probability of 0.

Everything is computed in the precision of the given scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.base import require

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.batching.scores import Scores


def sum_over_answer(per_token: Tensor, scores: Scores) -> Tensor:
    """(rows,) sum of (rows, positions) values over the answer tokens; other positions have no influence."""
    return per_token.masked_fill(~scores.mask, 0.0).sum(-1)


def kept_logits(scores: Scores | None, what: str) -> Tensor:
    """(rows, positions, vocabulary) logits. Raises ValueError if they were not kept: a wiring error."""
    logits = require(scores, what).logits
    if logits is None:
        raise ValueError(f"logits of {what} None must be kept: the loss reads them; score the rows with logits")
    return logits


def kept_hidden(scores: Scores | None, what: str) -> Tensor:
    """(rows, positions, width) hidden states. Raises ValueError if they were not kept: a wiring error."""
    hidden = require(scores, what).hidden
    if hidden is None:
        raise ValueError(f"hidden states of {what} None must be kept: the loss reads them; score the rows with a layer")
    return hidden


def kept_targets(scores: Scores) -> Tensor:
    """(rows, positions, 1) the answer tokens as indices. Raises ValueError if they were not kept."""
    if scores.targets is None:
        raise ValueError("targets None must be kept: the loss reads them; score the rows with targets")
    return scores.targets.unsqueeze(-1)


def cross_entropy(wanted: Tensor, log_p: Tensor) -> Tensor:
    """(…,) -sum of wanted * log_p over the last dimension, where 0 * log 0 is 0 (its gradient too)."""
    return -(wanted * log_p.masked_fill(wanted == 0, 0.0)).sum(-1)


def token_log_ratio(model: Scores, reference: Scores | None) -> Tensor:
    """(rows, positions) log( p(y_t) / p_ref(y_t) ), 0 outside the answer.

    Raises ValueError for None and for a shape that differs from the model's, which would broadcast to a wrong loss.
    """
    frozen = require(reference, "reference").token_log_probs.detach()
    tokens = model.token_log_probs
    if frozen.shape != tokens.shape:
        raise ValueError(
            f"reference of shape {tuple(frozen.shape)} must be {tuple(tokens.shape)}; pass one log-prob per position"
        )
    return tokens - frozen
