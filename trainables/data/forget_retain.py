"""Benchmarks whose data is already divided into a forget and a retain file.

The forget fraction is a share of the forget file: its last groups of rows are forgotten and the others kept (1.0: all
are forgotten). A group is a document, a person or a single row, as the benchmark decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from trainables.data.rows import EvalSet, Row, Split
from trainables.data.splitting import digest_rows, thin


@dataclass(frozen=True)
class Group:
    """Rows that are forgotten or kept together: those to train on, and those that test what was learned."""

    trained: tuple[Row, ...]
    evaluated: tuple[Row, ...]


PLAIN_STYLE = EvalSet(())


@dataclass(frozen=True)
class ForgetRetainBenchmark:
    """`style`: how the forget, retain and holdout sets are evaluated. `utility`: more questions that measure utility.

    `kinds`: further forget sets by name, each with the evaluated rows of one kind (`raw` or not).
    """

    name: str
    forget: tuple[Group, ...]
    retain: tuple[Group, ...]
    utility: tuple[Row, ...] = ()
    holdout: tuple[Row, ...] = ()
    style: EvalSet = PLAIN_STYLE
    kinds: Mapping[str, bool] | None = None
    evaluation_rows: int | None = None

    @cached_property
    def digest(self) -> str:
        groups = (rows for group in (*self.retain, *self.forget) for rows in (group.trained, group.evaluated))
        return digest_rows((*groups, self.utility, self.holdout))

    @property
    def full(self) -> tuple[Row, ...]:
        return training_rows((*self.retain, *self.forget))

    @property
    def general(self) -> tuple[Row, ...]:
        return self.utility

    def check_fraction(self, fraction: float) -> str | None:
        return share_problem(fraction) or empty_problem(fraction, len(self.forget))

    def split(self, fraction: float) -> Split:
        """The last round(fraction * groups) groups are forgotten. Raises ValueError if that is 0."""
        if problem := self.check_fraction(fraction):
            raise ValueError(problem)
        kept, forgotten = divide(self.forget, fraction)
        retained = (*self.retain, *kept)
        return Split(fraction, training_rows(forgotten), training_rows(retained), self._evaluation(forgotten, retained))

    def _evaluation(self, forgotten: Sequence[Group], retained: Sequence[Group]) -> dict[str, EvalSet]:
        limit, style = self.evaluation_rows, self.style
        forget = uniform(_evaluated(forgotten))
        sets = {
            "forget": replace(style, rows=forget, role="forget"),
            "retain": replace(style, rows=thin(uniform(_evaluated(retained)), limit), role="utility"),
        }
        for name, raw in (self.kinds or {}).items():
            rows = tuple(row for row in forget if row.raw == raw)
            if 0 < len(rows) < len(forget):
                sets[name] = replace(style, rows=rows, role="forget")
        if self.utility:
            choices = all(row.perturbed_answers for row in self.utility)
            sets["utility"] = EvalSet(thin(self.utility, limit), multiple_choice=choices)
        if self.holdout:
            rows = tuple(map(without_variants, thin(self.holdout, limit)))
            sets["holdout"] = replace(style, rows=rows, role="holdout", generate=False)
        return sets


def share_problem(fraction: float) -> str | None:
    """Why this is not a share of a forget file (value, rule, fix), or None."""
    if 0 < fraction <= 1:
        return None
    return f"forget_fraction={fraction!r}: must be above 0 and at most 1, a share of the forget file; use 1.0 for all"


def empty_problem(fraction: float, groups: int) -> str | None:
    """Why this fraction would forget no group (value, rule, fix), or None."""
    if round(fraction * groups) >= 1:
        return None
    smallest = math.ceil(1e4 / groups) / 1e4
    return (
        f"forget_fraction={fraction!r}: this is {fraction * groups:g} of the {groups} groups of the forget file; at "
        f"least one must be forgotten; use {smallest:g} or more"
    )


def divide(groups: Sequence[Group], fraction: float) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """(kept, forgotten): the last round(fraction * groups) are forgotten."""
    start = len(groups) - round(fraction * len(groups))
    return tuple(groups[:start]), tuple(groups[start:])


def uniform(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows, without their variants unless truth ratios can be computed for all of them."""
    kinds = {(len(row.perturbed_answers), row.paraphrased_answer is None) for row in rows}
    return rows if len(kinds) == 1 else tuple(map(without_variants, rows))


def without_variants(row: Row) -> Row:
    """The row without the answers that only truth ratios need: the paraphrase and the wrong ones."""
    return replace(row, paraphrased_answer=None, perturbed_answers=())


def by_group(rows: Iterable[tuple[object, Row]]) -> tuple[Group, ...]:
    """Groups of rows with equal keys, in the order of their first rows; the same rows are trained and evaluated."""
    groups: dict[object, list[Row]] = {}
    for key, row in rows:
        groups.setdefault(key, []).append(row)
    return tuple(Group(tuple(group), tuple(group)) for group in groups.values())


def training_rows(groups: Iterable[Group]) -> tuple[Row, ...]:
    return tuple(row for group in groups for row in group.trained)


def _evaluated(groups: Iterable[Group]) -> tuple[Row, ...]:
    return tuple(row for group in groups for row in group.evaluated)
