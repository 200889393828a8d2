"""The shapes of a benchmark: rows, evaluation sets, the split of one forget fraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias


@dataclass(frozen=True)
class Row:
    """A question and its answer; for some metrics also a paraphrase and wrong answers of the same form.

    `raw`: plain text instead of a question. No template is applied: `question` is the text that comes before (it may
    be empty), `answer` continues it, and no end token follows.
    """

    question: str
    answer: str
    paraphrased_answer: str | None = None
    perturbed_answers: tuple[str, ...] = ()
    paraphrased_question: str | None = None
    raw: bool = False


Direction: TypeAlias = Literal["max", "min"]

Role: TypeAlias = Literal["forget", "utility", "members", "holdout"]


@dataclass(frozen=True)
class EvalSet:
    """Rows to evaluate, and how.

    `role`: `forget` (what must go), `utility` (what must stay: part of the model's utility), `members` and `holdout`
    (membership inference tells them apart; without a set of members the forget set takes that part).
    `multiple_choice`: p(answer) is normalised over answer and perturbed answers (TOFU's facts). `rouge`: which ROUGE-L
    is this set's headline. `generate`: whether answers are generated, of at most `max_new_tokens` (None: the
    evaluation's own), cut before `stop`.
    """

    rows: tuple[Row, ...]
    multiple_choice: bool = False
    role: Role = "utility"
    rouge: Literal["recall", "f1"] = "recall"
    generate: bool = True
    max_new_tokens: int | None = None
    stop: str | None = None


@dataclass(frozen=True)
class Split:
    """One forget fraction: what is forgotten, what is kept, and what is evaluated.

    `evaluation` has the keys `forget` and `retain`; where the data has them `holdout` (rows like the forget set that no
    model was trained on) and further sets.
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
