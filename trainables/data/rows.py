"""The types of a benchmark: rows, evaluation sets, and the split at one forget fraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias


@dataclass(frozen=True)
class Row:
    """A question and its answer; for some metrics also a paraphrase and wrong answers of the same form.

    `raw`: plain text instead of a question. No template is applied: `question` is the text before (may be empty),
    `answer` continues it, and no end token follows.
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

    `role`: `forget`; `utility` (counts towards the model's utility); `members` and `holdout` (membership inference
    compares them; without a set of members the forget set is used). `multiple_choice`: p(answer) is normalised over
    answer and perturbed answers (TOFU's facts). `rouge`: this set's headline ROUGE-L. `generate`: whether answers are
    generated, at most `max_new_tokens` long (None: the evaluation's limit) and cut before `stop`.
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
    """One forget fraction: the forget rows, the retain rows, and the sets that are evaluated.

    `evaluation` has the keys `forget` and `retain`; if the data has them, also `holdout` (rows like the forget set that
    no model was trained on) and further sets.
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
        """The rows that the target model memorises; the last ones are forgotten."""

    @property
    def general(self) -> Sequence[Row]:
        """Facts that a pretrained base already knows; a base trained from scratch is trained on them too."""

    def check_fraction(self, fraction: float) -> str | None:
        """Why the benchmark cannot be split at this fraction (value, rule, fix), or None."""

    def split(self, fraction: float) -> Split:
        """Raises ValueError with the text of `check_fraction`."""
