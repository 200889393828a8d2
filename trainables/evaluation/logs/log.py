"""The contents of an evaluation log in any format: columns of values by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from trainables.data.rows import Role

Index: TypeAlias = int | str
Value: TypeAlias = float | tuple[float, ...] | str
Column: TypeAlias = dict[Index, Value]

OPEN_UNLEARNING, LEGACY = "open-unlearning", "tofu"


class LogError(ValueError):
    """A file that cannot be read as an evaluation log: one sentence with the file, the value, the rule and the fix.

    The message quotes the file, so unprintable characters are replaced.
    """

    def __init__(self, text: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in text))


@dataclass
class SetRows:
    """One evaluation set. `columns`: by name, then by row index; rows without a value are absent.

    Numbers: `loss`, `paraphrase_loss` (mean nats per token), `probability`, `paraphrase_probability`,
    `choice_probability`, `truth_ratio`, `rouge_1_recall`, `rouge_l_recall`, `rouge_l_f1`, `extraction_strength`,
    `exact_memorization`, `attack:<name>`, `tokens`. Tuples: `perturbed_losses`, `perturbed_probabilities`. Texts:
    `question`, `answer`, `generated`.
    """

    role: Role = "utility"
    multiple_choice: bool = False
    rouge: str = "recall"
    columns: dict[str, Column] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Length of the longest column."""
        return max((len(column) for column in self.columns.values()), default=0)


@dataclass(frozen=True)
class Log:
    """One log. `stored`: its aggregates, by its own keys. `guard`: what its definitions add to every denominator.
    `own`: written by letheon, with a description of its sets.
    """

    file: str
    format: str
    sets: Mapping[str, SetRows]
    stored: Mapping[str, float | None] = field(default_factory=dict)
    guard: float = 0.0
    own: bool = False
    notes: tuple[str, ...] = ()
