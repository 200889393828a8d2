"""Splits long texts into pieces of bounded length, cut between words. Counts characters, so no tokenizer is needed."""

from __future__ import annotations

import math
from itertools import chain

CHUNK_CHARACTERS = 2000
"""About 450 tokens of English: with prompt and padding, still a row of ordinary length."""


def chunks(text: str, limit: int = CHUNK_CHARACTERS) -> tuple[str, ...]:
    """The text in pieces of about equal length, at most `limit` characters each; joined, they are the text.

    Each cut is before the last white space in the second half of a piece, so the next piece begins with it. Without
    one, the cut is before the next white space within the limit, and otherwise at the middle length.
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
    """The text in two parts of about half its length, neither blank if possible."""
    cut = _last_space(text, len(text) // 4, max(1, len(text) // 2))
    return text[:cut], text[cut:]


def _last_space(text: str, low: int, high: int, next_to: int = 0) -> int:
    """The largest index in low+1..high with white space, else the smallest in high+1..next_to, else `high`."""
    order = chain(range(high, low, -1), range(high + 1, next_to + 1))
    return next((i for i in order if text[i : i + 1].isspace()), high)
