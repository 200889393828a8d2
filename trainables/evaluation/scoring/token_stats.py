"""What single tokens of teacher-forced answers say: hits, and log-probs normalised by the whole distribution.

Reads one forward pass's scores; what the numbers are for is in `memorisation` and `membership`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

import torch
from torch import Tensor

from trainables.batching.scores import Scores
from trainables.evaluation.metrics.membership import lowest_mean
from trainables.evaluation.metrics.memorisation import exact_memorization, extraction_strength
from trainables.evaluation.scoring.queries import Tokens
from trainables.model.log_probs import rows_per_chunk

_SMALLEST_VARIANCE = 1e-6  # open-unlearning's; a distribution without spread would divide by zero
_LOWEST = -1e4  # a log-probability of an impossible token: 0 * -inf would be no number


@torch.no_grad()
def read_tokens(
    scores: Scores,
    ends: Mapping[int, bool],
    normalised: Set[int],
    share: float,
    hits: Tensor | None = None,
    at: Tensor | None = None,
    strength: Callable[[Sequence[bool]], float] = extraction_strength,
) -> dict[int, Tokens]:
    """By row of the batch, for the rows in `ends`, whose value says whether the last token is an end of sequence.

    `normalised`: the rows that min-k++ is wanted of. `share`: of the tokens that min-k and min-k++ look at.
    `hits`: (rows, positions) bool, where the answer's tokens are the likeliest; None: the logits are asked. `at`: which
    of the logits belong to a position, as `TeacherForced` has it. `strength`: how extraction strength is counted.
    """
    rows = sorted(ends)
    if not rows:
        return {}
    hit = _by_row(scores, rows, _hits, at) if hits is None else _masked(hits, scores.mask, rows)
    log_probs = {row: scores.token_log_probs[row][scores.mask[row]].tolist() for row in rows}
    wanted = sorted(normalised)
    spreads = _by_row(scores, wanted, _normalised, at) if wanted else {}

    def found(row: int) -> Tokens:
        count = len(log_probs[row]) - int(ends[row])
        right = [bool(each) for each in hit[row][:count]]
        return Tokens(
            strength(right),
            exact_memorization(right),
            lowest_mean(log_probs[row][:count], share),
            lowest_mean(spreads[row][:count], share) if row in spreads else None,
        )

    return {row: found(row) for row in rows}


def _by_row(
    scores: Scores, rows: Sequence[int], value: Callable[[Tensor, Tensor], Tensor], of: Tensor | None
) -> dict[int, list[float]]:
    """`value` of (logits (n, vocabulary), answer tokens (n,)) for the answer tokens of these rows, some at a time."""
    logits, targets = scores.logits, scores.targets
    if logits is None or targets is None:
        raise ValueError("logits and targets None must be tensors: tokens are read from them; score with LOGITS")
    asked = torch.zeros_like(scores.mask)
    asked[list(rows)] = scores.mask[list(rows)]
    places = asked.nonzero()
    chunks = [some.unbind(1) for some in torch.split(places, rows_per_chunk(logits))]
    values = torch.cat([value(logits[i, t] if of is None else logits[of[i, t]], targets[i, t]) for i, t in chunks])
    parts = torch.split(values, scores.lengths[list(rows)].tolist())
    return {row: part.tolist() for row, part in zip(rows, parts, strict=True)}


def _masked(values: Tensor, mask: Tensor, rows: Sequence[int]) -> dict[int, list[float]]:
    values, mask = values.cpu(), mask.cpu()
    return {row: values[row][mask[row]].tolist() for row in rows}


def _hits(logits: Tensor, answer: Tensor) -> Tensor:
    return (logits.argmax(-1) == answer).float()


def _normalised(logits: Tensor, answer: Tensor) -> Tensor:
    """(log p - mean) / deviation, both over the model's distribution at that place (min-k++, arXiv 2404.02936)."""
    log_probs = logits.log_softmax(-1).clamp(min=_LOWEST)
    probs = log_probs.exp()
    mean = (probs * log_probs).sum(-1)
    variance = (probs * (log_probs - mean.unsqueeze(-1)).square()).sum(-1).clamp(min=_SMALLEST_VARIANCE)
    chosen = log_probs.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
    return (chosen - mean) / variance.sqrt()
