"""TOFU (arXiv 2401.06121) from a local folder of its files, or from the Hugging Face hub. None of it ships here.

There are two layouts. Official (`people` is null): all authors, the published fractions, `retain_perturbed` as the
retain evaluation. Small (`people: N`, at most 20): only the last N authors, all of whom have wrong answers in
`forget10_perturbed`; any whole number of them may be forgotten. Perturbed rows are matched to the full set by question
and answer, never by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.tofu_files import HOLDOUTS, Table, load_tables
from trainables.data.rows import EvalSet, Row, Split
from trainables.data.splitting import ROWS_PER_PERSON, TOLERANCE, digest_rows, forget_start, fraction_problem, thin

OFFICIAL_FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9)
OFFICIAL_PEOPLE = 200
PERTURBED_SHARE = 0.1
"""The tail that `forget10_perturbed` covers. Larger fractions are evaluated on all of it, as is usual."""
MAX_PEOPLE = round(PERTURBED_SHARE * OFFICIAL_PEOPLE)


@dataclass(frozen=True)
class TofuBenchmark:
    """`forget_perturbed` and `retain_perturbed` map an index of `full` to the row with all its answers.

    Rows that no model is trained on: `holdouts`, by percent, as published; `before`, the authors before a small layout.
    """

    full: tuple[Row, ...]
    forget_perturbed: Mapping[int, Row]
    retain_perturbed: Mapping[int, Row]
    real_authors: tuple[Row, ...]
    world_facts: tuple[Row, ...]
    official: bool = True
    evaluation_rows: int | None = None
    holdouts: Mapping[int, tuple[Row, ...]] = field(default_factory=dict)
    before: tuple[Row, ...] = ()
    name: str = "tofu"

    @cached_property
    def digest(self) -> str:
        perturbed = (tuple(rows[i] for i in sorted(rows)) for rows in (self.forget_perturbed, self.retain_perturbed))
        unseen = (
            *(self.holdouts[percent] for percent in sorted(self.holdouts)),
            *([self.before] if self.before else []),
        )
        return digest_rows((self.full, *perturbed, self.real_authors, self.world_facts, *unseen))

    @property
    def general(self) -> tuple[Row, ...]:
        return self.real_authors + self.world_facts

    def check_fraction(self, fraction: float) -> str | None:
        people = len(self.full) // ROWS_PER_PERSON
        return tofu_fraction_problem(fraction, people, self.official) or self._uncovered(fraction)

    def split(self, fraction: float) -> Split:
        """The last rows are forgotten. At 0.9 the retained part is exactly the 400 rows of `retain_perturbed`."""
        if problem := self.check_fraction(fraction):
            raise ValueError(problem)
        start = forget_start(fraction, len(self.full))
        limit = self.evaluation_rows
        evaluation = {
            "forget": EvalSet(self._forget_evaluation(start), role="forget"),
            "retain": EvalSet(thin(self._retain_evaluation(start), limit)),
            "real_authors": EvalSet(thin(self.real_authors, limit), multiple_choice=True),
            "world_facts": EvalSet(thin(self.world_facts, limit), multiple_choice=True),
        }
        if holdout := self._holdout(fraction, len(self.full) - start):
            evaluation["holdout"] = EvalSet(thin(holdout, limit), role="holdout", generate=False)
        return Split(fraction, self.full[start:], self.full[:start], evaluation)

    def _holdout(self, fraction: float, forgotten: int) -> tuple[Row, ...]:
        """The published holdout of this or the next larger fraction; in a small layout, rows of other authors."""
        if self.before:
            return self.before[-forgotten:]
        large_enough = [percent for percent in sorted(self.holdouts) if percent >= 100 * fraction - TOLERANCE]
        chosen = (large_enough or sorted(self.holdouts)[-1:])[:1]
        return self.holdouts[chosen[0]] if chosen else ()

    def _forget_evaluation(self, start: int) -> tuple[Row, ...]:
        return tuple(self.forget_perturbed[i] for i in sorted(self.forget_perturbed) if i >= start)

    def _retain_evaluation(self, start: int) -> tuple[Row, ...]:
        return tuple(self.retain_perturbed[i] for i in sorted(self.retain_perturbed) if i < start)

    def _uncovered(self, fraction: float) -> str | None:
        """Why the evaluation sets lack rows for this fraction, or None; only unusual files can fail this."""
        start = forget_start(fraction, len(self.full))
        needed = len(self.full) - start
        if self.official:
            needed = min(needed, round(PERTURBED_SHARE * len(self.full)))
        found = len(self._forget_evaluation(start))
        if found >= needed and self._retain_evaluation(start):
            return None
        return (
            f"forget_fraction={fraction!r}: {found} of {needed} forgotten rows are in forget10_perturbed "
            f"and {len(self._retain_evaluation(start))} retained rows in retain_perturbed; all the former and some of "
            "the latter are needed; use a smaller fraction or complete files"
        )


def tofu_fraction_problem(fraction: float, people: int, official: bool) -> str | None:
    """Why TOFU cannot be split at this fraction (value, rule, fix), or None. Reads no data."""
    if official and not any(abs(fraction - f) <= TOLERANCE for f in OFFICIAL_FRACTIONS):
        known = ", ".join(map(str, OFFICIAL_FRACTIONS))
        nearest = min(OFFICIAL_FRACTIONS, key=lambda f: abs(f - fraction))
        return (
            f"forget_fraction={fraction!r}: TOFU is split at {known}; use {nearest}, or set benchmark.people "
            f"(2 to {MAX_PEOPLE}) to split a few authors freely"
        )
    return fraction_problem(fraction, people)


def config_problem(config: BenchmarkConfig) -> str | None:
    """The problem of a TOFU configuration, independent of its files (value, rule, fix), or None."""
    if config.people is None or config.people <= MAX_PEOPLE:
        return None
    return (
        f"people={config.people}: only the last {MAX_PEOPLE} authors of TOFU have wrong answers; use 2 to "
        f"{MAX_PEOPLE}, or leave people out for the official layout"
    )


def make_benchmark(config: BenchmarkConfig) -> TofuBenchmark:
    """Read, check and match the files. Raises ValueError that names every missing file, or the bad line."""
    if problem := config_problem(config):
        raise ValueError(problem)
    tables = load_tables(config.path, config.revision)
    full = tables["full"]
    if len(full.rows) < 2 * ROWS_PER_PERSON or len(full.rows) % ROWS_PER_PERSON:
        raise ValueError(
            f"{full.source}: {len(full.rows)} rows; it must have {ROWS_PER_PERSON} for each of at least 2 people; "
            "use the unchanged file (4000 rows)"
        )
    positions = _positions(full)
    forget, retain = (_match(tables[name], positions) for name in ("forget10_perturbed", "retain_perturbed"))
    start = 0
    if config.people is not None:
        start = _window(full, config.people)
        forget = retain = {i - start: row for i, row in forget.items() if i >= start}
    return TofuBenchmark(
        full=full.rows[start:],
        forget_perturbed=forget,
        retain_perturbed=retain,
        real_authors=tables["real_authors_perturbed"].rows,
        world_facts=tables["world_facts_perturbed"].rows,
        official=config.people is None,
        evaluation_rows=config.evaluation_rows,
        holdouts={} if start else {percent: tables[name].rows for name, percent in HOLDOUTS.items() if name in tables},
        before=full.rows[:start],
    )


def _window(full: Table, people: int) -> int:
    if people * ROWS_PER_PERSON > len(full.rows):
        available = len(full.rows) // ROWS_PER_PERSON
        raise ValueError(f"people={people}: {full.source} has {available} people; use 2 to {available}")
    return len(full.rows) - people * ROWS_PER_PERSON


def _positions(full: Table) -> dict[tuple[str, str], int]:
    """(question, answer) -> index. (One question of TOFU occurs twice, with different answers.)"""
    positions: dict[tuple[str, str], int] = {}
    for i, row in enumerate(full.rows):
        first = positions.setdefault((row.question, row.answer), i)
        if first != i:
            raise ValueError(
                f"{full.places[i]}: repeats {full.places[first]}; rows must differ, or a forgotten one would also be "
                "retained; remove one of them"
            )
    return positions


def _match(table: Table, positions: Mapping[tuple[str, str], int]) -> dict[int, Row]:
    matched: dict[int, Row] = {}
    for place, row in zip(table.places, table.rows, strict=True):
        index = positions.get((row.question, row.answer))
        if index is None or index in matched:
            problem = "is not in the full set with this answer" if index is None else "occurs twice"
            raise ValueError(
                f"{place}: the question {row.question!r} {problem}; every row must belong to one row of full; use "
                "files of one release"
            )
        matched[index] = row
    return matched
