"""Matches the forget rows of two logs: by answer text if both have texts, else by index.

The older format stops at 300 rows, and a smaller forget split is the tail of a larger one, so the same index need not
mean the same row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainables.evaluation.logs.log import Index, Log, LogError

SPLITS = {40, 200, 400, 800, 1200, 2000, 3600}
"""Rows of TOFU's forget sets. Each starts at a different row, so two of them share indices but not rows."""

_LETTERS = 80  # formats cut and clean the ends of texts differently
_MOSTLY = 0.5
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Pairs:
    """Matching forget rows (first log, second log), in order; `note` if some rows have no match."""

    rows: tuple[tuple[Index, Index], ...]
    note: str | None = None

    def within(self, first: Sequence[Index], second: Sequence[Index]) -> tuple[list[Index], list[Index]]:
        """The rows of each log in pairs whose rows are in `first` and in `second`."""
        mine, theirs = set(first), set(second)
        both = [(a, b) for a, b in self.rows if a in mine and b in theirs]
        return [a for a, _ in both], [b for _, b in both]


def pair_forget_rows(first: Log, second: Log, rows: tuple[Sequence[Index], Sequence[Index]]) -> Pairs:
    """`rows`: the indices that each log has values for. Raises LogError if the rows cannot be matched."""
    mine, theirs = rows
    if not mine or not theirs:
        return Pairs(())
    texts = [_texts(log, indices) for log, indices in zip((first, second), rows, strict=True)]
    same_indices = set(mine) == set(theirs)
    if all(len(each) >= _NEARLY_ALL * len(indices) for each, indices in zip(texts, rows, strict=True)):
        if same_indices and _agreeing(*texts) >= _MOSTLY * len(mine):
            return Pairs(tuple((index, index) for index in mine))
        return _by_text(first, second, *texts)
    if same_indices:
        return Pairs(tuple((index, index) for index in mine))
    return _by_index(first, second, mine, theirs)


def _texts(log: Log, rows: Sequence[Index]) -> dict[Index, str]:
    """The first letters and digits of each answer."""
    column = log.sets["forget"].columns.get("answer", {})
    return {row: re.sub(r"[\W_]+", "", str(column[row]).casefold())[:_LETTERS] for row in rows if row in column}


def _agreeing(first: Mapping[Index, str], second: Mapping[Index, str]) -> int:
    return sum(text == second.get(index) for index, text in first.items())


def _by_text(first: Log, second: Log, mine: Mapping[Index, str], theirs: Mapping[Index, str]) -> Pairs:
    found = {key: index for index, key in _numbered(theirs)}
    pairs = tuple((index, found[key]) for index, key in _numbered(mine) if key in found)
    if not pairs:
        raise LogError(
            f"{first.file} and {second.file}: no answer of the {len(mine)} and {len(theirs)} forget rows is the same; "
            "give logs of one forget split"
        )
    return Pairs(pairs, _note(len(mine), len(theirs), len(pairs)))


def _numbered(texts: Mapping[Index, str]) -> list[tuple[Index, tuple[str, int]]]:
    """Each text with its number among equal texts."""
    seen: Counter[str] = Counter()
    numbered = []
    for index, text in texts.items():
        numbered.append((index, (text, seen[text])))
        seen[text] += 1
    return numbered


def _by_index(first: Log, second: Log, mine: Sequence[Index], theirs: Sequence[Index]) -> Pairs:
    """One log may lack rows of the other (the older format has 300), but not be of another forget split."""
    known = set(theirs)
    common = [index for index in mine if index in known]
    splits = len(mine) != len(theirs) and {len(mine), len(theirs)} <= SPLITS
    if splits or len(common) < _NEARLY_ALL * min(len(mine), len(theirs)):
        raise LogError(
            f"{first.file} and {second.file}: {len(mine)} and {len(theirs)} forget rows, and no text says which are "
            "the same; give logs of one forget split"
        )
    return Pairs(tuple((index, index) for index in common), _note(len(mine), len(theirs), len(common)))


def _note(first: int, second: int, both: int) -> str | None:
    if first == second == both:
        return None
    return f"{first} and {second} forget rows: compared on the {both} that both logs have"
