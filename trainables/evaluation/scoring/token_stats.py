"""Statistics over the tokens of teacher-forced answers: memorisation, min-k and min-k++ of each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

import torch
from torch import Tensor

from trainables.evaluation.metrics.membership import lowest_mean
from trainables.evaluation.metrics.memorisation import exact_memorization, extraction_strength
from trainables.evaluation.scoring.queries import TokenStats
from trainables.evaluation.scoring.teacher_forced import TeacherForced
from trainables.model.log_probs import rows_per_chunk

_SMALLEST_VARIANCE = 1e-6  # as in open-unlearning; avoids dividing by zero for a distribution without spread
_LOWEST = -1e4  # log-probability of an impossible token, since 0 * -inf is NaN


@torch.no_grad()
def token_stats(
    forced: TeacherForced,
    ends: Mapping[int, bool],
    normalised: Set[int],
    share: float,
    strength: Callable[[Sequence[bool]], float] = extraction_strength,
) -> dict[int, TokenStats]:
    """Statistics by row of the batch, for the rows in `ends`.

    `ends`: whether a row's last token is an end of sequence, which is left out. `normalised`: the rows that need
    min-k++. `share`: of the tokens, for min-k and min-k++. `strength`: the definition of extraction strength. Raises
    ValueError if min-k++ is requested without logits.
    """
    if not ends:
        return {}
    normalised_log_probs = _normalised_rows(forced, sorted(normalised))
    all_log_probs, all_hits, mask = (
        each.cpu() for each in (forced.scores.token_log_probs, forced.hits, forced.scores.mask)
    )

    def stats(row: int) -> TokenStats:
        log_probs, hits = all_log_probs[row][mask[row]].tolist(), all_hits[row][mask[row]].tolist()
        count = len(log_probs) - int(ends[row])
        return TokenStats(
            strength(hits[:count]),
            exact_memorization(hits[:count]),
            lowest_mean(log_probs[:count], share),
            lowest_mean(normalised_log_probs[row][:count], share) if row in normalised else None,
        )

    return {row: stats(row) for row in sorted(ends)}


def _normalised_rows(forced: TeacherForced, rows: Sequence[int]) -> dict[int, list[float]]:
    """Normalised log-probabilities of the rows' answer tokens, computed in chunks."""
    if not rows:
        return {}
    scores, at = forced.scores, forced.at
    logits, targets = scores.logits, scores.targets
    if logits is None or targets is None:
        raise ValueError("logits and targets None must be tensors: min-k++ reads them; score with LOGITS")
    chosen = torch.zeros_like(scores.mask)
    chosen[list(rows)] = scores.mask[list(rows)]
    chunks = [some.unbind(1) for some in torch.split(chosen.nonzero(), rows_per_chunk(logits))]
    values = torch.cat(
        [_normalised(logits[i, t] if at is None else logits[at[i, t]], targets[i, t]) for i, t in chunks]
    )
    parts = torch.split(values, scores.lengths[list(rows)].tolist())
    return {row: part.tolist() for row, part in zip(rows, parts, strict=True)}


def _normalised(logits: Tensor, answer: Tensor) -> Tensor:
    """(tokens,) (log p - mean) / deviation over the model's distribution (min-k++, arXiv 2404.02936)."""
    log_probs = logits.log_softmax(-1).clamp(min=_LOWEST)
    probs = log_probs.exp()
    mean = (probs * log_probs).sum(-1)
    variance = (probs * (log_probs - mean.unsqueeze(-1)).square()).sum(-1).clamp(min=_SMALLEST_VARIANCE)
    chosen = log_probs.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
    return (chosen - mean) / variance.sqrt()
