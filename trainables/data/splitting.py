"""What benchmarks of people share: forgetting whole people from the end, even thinning of sets, digests of rows."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence

from trainables.data.rows import Row

ROWS_PER_PERSON = 20
TOLERANCE = 1e-9
_SHORT = 6


def fraction_problem(fraction: float, people: int) -> str | None:
    """Why the last `fraction` of `people` cannot be forgotten (value, rule, fix), or None.

    The forget set is a whole number of people, at least one, and at least one person stays.
    """
    share = fraction * people
    if math.isfinite(share) and 1 <= round(share) < people and abs(share - round(share)) <= TOLERANCE:
        return None
    below = min(max(math.floor(share), 1), people - 1) if math.isfinite(share) else 1
    nearest = sorted({below / people, min(below + 1, people - 1) / people}, key=lambda f: abs(f - fraction))
    return (
        f"forget_fraction={fraction!r}: that is {share:g} of {people} people; must be a whole number of them, "
        f"at least 1 and at most {people - 1}; use {' or '.join(_written(near, people) for near in nearest)}"
    )


def _written(fraction: float, people: int) -> str:
    """The shortest text that gives the fraction: `0.1`, `0.142857143 (1 of 7)`."""
    texts = (f"{fraction:.{digits}g}" for digits in range(1, 18))
    text = next((it for it in texts if abs(float(it) * people - round(fraction * people)) <= TOLERANCE), repr(fraction))
    return text if len(text) <= _SHORT else f"{text} ({round(fraction * people)} of {people})"


def forget_start(fraction: float, rows: int) -> int:
    """Index of the first forgotten row, for a valid fraction."""
    people = rows // ROWS_PER_PERSON
    return rows - ROWS_PER_PERSON * round(fraction * people)


def thin(rows: Sequence[Row], limit: int | None) -> tuple[Row, ...]:
    """At most `limit` rows, in order: one from each of `limit` equal stretches.

    The position within a stretch follows the golden ratio; a fixed one would hit the same few of a person's questions.
    """
    if limit is None or limit >= len(rows):
        return tuple(rows)
    bounds = [i * len(rows) // limit for i in range(limit + 1)]
    places = ((i * 40503 % 65536) * (bounds[i + 1] - bounds[i]) // 65536 for i in range(limit))
    return tuple(rows[start + place] for start, place in zip(bounds, places, strict=False))


def digest_rows(sets: Iterable[Iterable[Row]]) -> str:
    """SHA-256 (hex) of the content of every row of every set, in order."""
    content = [list(map(_content, rows)) for rows in sets]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _content(row: Row) -> list[object]:
    """The last two fields only if set: data without them must keep the digests that finished sweeps refer to."""
    more = [[row.paraphrased_question, row.raw]] if row.paraphrased_question is not None or row.raw else []
    return [row.question, row.answer, row.paraphrased_answer, row.perturbed_answers, *more]
