"""Long texts in pieces of bounded length, cut between words. Counts characters, so no tokenizer is needed."""

from __future__ import annotations

import math
from itertools import chain

CHUNK_CHARACTERS = 2000
"""About 450 tokens of English; with prompts and padding no pass over such a row is a surprise."""


def chunks(text: str, limit: int = CHUNK_CHARACTERS) -> tuple[str, ...]:
    """The text in its order, in pieces of at most `limit` characters and of about equal length.

    Put together the pieces are the text. A cut is before the last white space of the second half of a piece, so the
    next one begins with it; where there is none, before the next one within the limit; and if that fails, anywhere.
    """
    pieces = []
    start = 0
    while (left := len(text) - start) > limit:
        size = math.ceil(left / math.ceil(left / limit))
        middle, end = start + size // 2, start + size
        cut = _last_space(text, middle, end, next_to=start + limit)
        pieces.append(text[start:cut])
        start = cut
    return (*pieces, text[start:])


def halves(text: str) -> tuple[str, str]:
    """What comes before, and how it goes on: two parts of about half the text, neither of them blank if it can be."""
    cut = _last_space(text, len(text) // 4, max(1, len(text) // 2))
    return text[:cut], text[cut:]


def _last_space(text: str, low: int, high: int, next_to: int = 0) -> int:
    """The largest index in low+1..high with white space; the smallest in high+1..next_to; `high` if there is none."""
    order = chain(range(high, low, -1), range(high + 1, next_to + 1))
    return next((i for i in order if text[i : i + 1].isspace()), high)
