"""Long texts in pieces of bounded length, cut between words. Counts characters, so no tokenizer is needed."""

from __future__ import annotations

import math

CHUNK_CHARACTERS = 2000
"""About 450 tokens of English; with prompts and padding no pass over such a row is a surprise."""


def chunks(text: str, limit: int = CHUNK_CHARACTERS) -> tuple[str, ...]:
    """The text in its order, in pieces of at most `limit` characters and of about equal length.

    Put together the pieces are the text. A cut is before the last white space of the second half of a piece, so the
    next one begins with it; a text without any is cut anywhere.
    """
    pieces = []
    start = 0
    while (left := len(text) - start) > limit:
        size = math.ceil(left / math.ceil(left / limit))
        cut = _last_space(text, start + size // 2, start + size)
        pieces.append(text[start:cut])
        start = cut
    return (*pieces, text[start:])


def halves(text: str) -> tuple[str, str]:
    """What comes before, and how it goes on: two parts of about half the text, neither of them blank if it can be."""
    cut = _last_space(text, len(text) // 4, max(1, len(text) // 2))
    return text[:cut], text[cut:]


def _last_space(text: str, low: int, high: int) -> int:
    """The largest index in low+1..high with white space; `high` if there is none."""
    return next((i for i in range(high, low, -1) if text[i : i + 1].isspace()), high)
