"""Checks a log's stored scores against its values, row by row: which definitions it follows, and what does not match.

Stored truth ratios reveal the guard in the log's denominators. A newer version of open-unlearning stores
right / (right + wrong) under the same name; it is converted to wrong / right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, cast

from trainables.evaluation.logs.adapt import right_losses, wrong_losses
from trainables.evaluation.logs.log import Column, Index, Log, SetRows
from trainables.evaluation.logs.names import keys_of
from trainables.evaluation.logs.open_unlearning import GUARD
from trainables.evaluation.metrics.rouge import Rouge, rouge

_EXACT, _SAME = 1e-12, 1e-5  # relative errors of one float64 computation (a guard is 1e-10 or more), and of float32
_NEARLY_ALL = 0.99


def checked(log: Log) -> Log:
    """The log with the guard that its truth ratios reveal, missing ROUGE computed from its texts, and notes."""
    log = replace(log, guard=_guard(log))
    sets, notes = {}, list(log.notes)
    for name, of_set in log.sets.items():
        columns, of_set_notes = _checked_set(log, name, of_set)
        sets[name] = replace(of_set, columns={**of_set.columns, **columns})
        notes += of_set_notes
    return replace(log, sets=sets, notes=tuple(notes))


def _checked_set(log: Log, name: str, of_set: SetRows) -> tuple[dict[str, Column], list[str]]:
    """Columns to add or replace, and notes."""
    columns: dict[str, Column] = {}
    notes = [*of_set.notes, *_check_ratios(name, of_set, log.guard)]
    stored = cast("Mapping[Index, float]", of_set.columns.get("truth_ratio", {}))
    if stored and not _pairs(of_set) and _are_shares(log, name, of_set, stored.values()):
        columns["truth_ratio"] = {row: 1 / share - 1 if share else math.inf for row, share in stored.items()}
        notes.append(_SHARES.format(name=name))
    for column, found in _rouge(of_set).items():
        if column in of_set.columns:
            notes += _check_rouge(name, column, of_set.columns[column], found)
        else:
            columns[column] = found
    return columns, notes


# --- truth ratios


_LARGEST_LOG = 700.0
_SHARES = "stored truth ratios of the {name} set are right / (right + wrong); wrong / right is used here"


class _Pair(NamedTuple):
    """A row's stored truth ratio, and the losses behind it."""

    row: Index
    stored: float
    right: float
    wrong: float

    def ratio(self, guard: float) -> float:
        """Wrong over right."""
        if not guard:
            return math.exp(min(_LARGEST_LOG, self.right - self.wrong))
        return math.exp(-self.wrong) / (math.exp(-self.right) + guard)

    def share(self, guard: float) -> float:
        """Right over the sum of right and wrong."""
        right, wrong = math.exp(-self.right), math.exp(-self.wrong)
        return right / (right + wrong + guard) if right + wrong + guard else math.nan


def _pairs(of_set: SetRows) -> list[_Pair]:
    right, wrong = right_losses(of_set), wrong_losses(of_set)
    stored = cast("Mapping[Index, float]", of_set.columns.get("truth_ratio", {}))
    rows = [row for row in stored if row in right and row in wrong]
    return [_Pair(row, stored[row], right[row], sum(wrong[row]) / len(wrong[row])) for row in rows]


def _guard(log: Log) -> float:
    """The format's guard, unless the stored truth ratios match another."""
    pairs = [pair for of_set in log.sets.values() for pair in _pairs(of_set)]

    def matches(guard: float) -> int:
        return sum(
            close(pair.stored, pair.ratio(guard), _EXACT) or close(pair.stored, pair.share(guard), _EXACT)
            for pair in pairs
        )

    other = 0.0 if log.guard else GUARD
    return other if pairs and matches(log.guard) < _NEARLY_ALL * len(pairs) <= matches(other) else log.guard


def close(stored: float, found: float, relative: float = _SAME) -> bool:
    """NaN is close to NaN."""
    if math.isnan(stored) or math.isnan(found):
        return math.isnan(stored) and math.isnan(found)
    return math.isclose(stored, found, rel_tol=relative, abs_tol=1e-300)


def _check_ratios(name: str, of_set: SetRows, guard: float) -> Iterator[str]:
    pairs = _pairs(of_set)
    differing = [pair for pair in pairs if not close(pair.stored, pair.ratio(guard))]
    if not differing:
        return
    if sum(close(pair.stored, pair.share(guard)) for pair in pairs) >= _NEARLY_ALL * len(pairs):
        yield _SHARES.format(name=name)
    else:
        yield (
            f"{len(differing)} of {len(pairs)} stored truth ratios of the {name} set differ from those of its losses "
            f"(first: row {differing[0].row}); the losses are used"
        )


def _are_shares(log: Log, name: str, of_set: SetRows, stored: Iterable[float]) -> bool:
    """For a log without losses: the aggregate of shares is their mean, that of ratios is not."""
    values = list(stored)
    aggregate = next((log.stored[key] for key in keys_of(f"{name}_truth_ratio") if key in log.stored), None)
    if aggregate is None or not all(0 <= value <= 1 for value in values):
        return False
    scores = [min(value, 1 / value) if value else 0.0 for value in values]
    if of_set.role != "forget":
        scores = [max(0.0, 1 - value) for value in values]
    return close(aggregate, math.fsum(values) / len(values)) and not close(aggregate, math.fsum(scores) / len(scores))


# --- ROUGE


def _rouge(of_set: SetRows) -> dict[str, Column]:
    """All three scores, for the rows that have texts."""
    answers, texts = of_set.columns.get("answer", {}), of_set.columns.get("generated", {})
    found = {row: rouge(str(answers[row]), str(texts[row])) for row in texts if row in answers}
    return {name: {row: getattr(each, name) for row, each in found.items()} for name in Rouge._fields if found}


def _check_rouge(name: str, column: str, stored: Column, found: Column) -> Iterator[str]:
    ours, theirs = (cast("Mapping[Index, float]", each) for each in (found, stored))
    differing = [row for row in theirs if row in ours and not close(theirs[row], ours[row])]
    if differing:
        yield (
            f"{len(differing)} of {len(stored)} stored {column} of the {name} set differ from those of its texts "
            f"(first: row {differing[0]}); the stored ones are used"
        )
