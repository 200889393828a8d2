"""How much of an answer a model would produce unaided, token by token. Pure functions.

`hits`: for every answer token except the end of sequence (which all answers share), whether it is the likeliest token
of a teacher-forced forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence


def extraction_strength(hits: Sequence[bool]) -> float:
    """1 - k / n, where all tokens from k on are hits: the share of the answer that the prompt and its first k tokens
    reveal (arXiv 2412.14507, after Carlini et al. 2021). 0 if the last token is a miss or there are no tokens.
    """
    missed = next((i for i in range(len(hits), 0, -1) if not hits[i - 1]), 0)
    return 1.0 - missed / len(hits) if hits else 0.0


def open_unlearning_extraction_strength(hits: Sequence[bool]) -> float:
    """As open-unlearning computes it: 1 / n where ours is 0, because its search always ends at the last token.

    Only for comparison with its logs: a token that was not extracted should not count as extracted.
    """
    return max(extraction_strength(hits), 1.0 / len(hits)) if hits else 0.0


def exact_memorization(hits: Sequence[bool]) -> float:
    """Share of hits (arXiv 2305.14708); 0 without tokens."""
    return sum(hits) / len(hits) if hits else 0.0
