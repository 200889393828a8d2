"""The shapes of a benchmark: rows, evaluation sets, the split of one forget fraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Row:
    """A question and its answer; for some metrics also a paraphrase and wrong answers of the same form."""

    question: str
    answer: str
    paraphrased_answer: str | None = None
    perturbed_answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvalSet:
    """Rows to evaluate. `multiple_choice`: p(answer) is normalised over answer and perturbed answers (TOFU's facts)."""

    rows: tuple[Row, ...]
    multiple_choice: bool = False


@dataclass(frozen=True)
class Split:
    """One forget fraction: what is forgotten, what is kept, and what is evaluated.

    `evaluation` has the keys `forget`, `retain`, `real_authors`, `world_facts` and, where the data has one, `holdout`.
    """

    fraction: float
    forget: tuple[Row, ...]
    retain: tuple[Row, ...]
    evaluation: Mapping[str, EvalSet]


class Benchmark(Protocol):
    """A data set that can be split at a forget fraction."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content of every row."""

    @property
    def full(self) -> Sequence[Row]:
        """What the target model memorises; the last rows are forgotten."""

    @property
    def general(self) -> Sequence[Row]:
        """Facts that a pretrained base knows already; a base trained from scratch is trained on them too."""

    def check_fraction(self, fraction: float) -> str | None:
        """Why this fraction cannot be split off (value, rule, fix), or None."""

    def split(self, fraction: float) -> Split:
        """Raises ValueError with the text of `check_fraction`."""
