"""How much of an answer a model would say by itself, token by token. Pure functions of right and wrong guesses.

`hits`: whether the likeliest token of a teacher-forced forward is the answer's, for every token but the end of
sequence, which every answer has and which tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence


def extraction_strength(hits: Sequence[bool]) -> float:
    """1 - k / n, k the first token from which on all are hits: the share of the answer that prompt and a beginning of
    k tokens give away (arXiv 2412.14507, after Carlini et al. 2021). 0 where the last token is none, and without any.
    """
    missed = next((i for i in range(len(hits), 0, -1) if not hits[i - 1]), 0)
    return 1.0 - missed / len(hits) if hits else 0.0


def open_unlearning_extraction_strength(hits: Sequence[bool]) -> float:
    """The same in open-unlearning's code, whose search ends at the last token whatever it is: 1 / n where ours is 0.

    For comparing with its logs; a token that was not extracted should not count as extracted.
    """
    return max(extraction_strength(hits), 1.0 / len(hits)) if hits else 0.0


def exact_memorization(hits: Sequence[bool]) -> float:
    """Share of hits (arXiv 2305.14708). 0 without tokens."""
    return sum(hits) / len(hits) if hits else 0.0
