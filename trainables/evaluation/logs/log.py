"""What an evaluation log holds once it is read: columns of values by row, whatever its format was. Computes nothing."""

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

    Parts of it come from the file, so what is no printable character is not passed on.
    """

    def __init__(self, text: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in text))


@dataclass
class SetRows:
    """One evaluation set. `columns`: by name, then by row index; a row without a value is not there.

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
        """As many as the longest column has."""
        return max((len(column) for column in self.columns.values()), default=0)


@dataclass(frozen=True)
class Log:
    """One log. `stored`: the aggregates it names itself, by its own keys. `guard`: what its definitions add to every
    denominator. `own`: written by this project, so that its sets say themselves what they are.
    """

    file: str
    format: str
    sets: Mapping[str, SetRows]
    stored: Mapping[str, float | None] = field(default_factory=dict)
    guard: float = 0.0
    own: bool = False
    notes: tuple[str, ...] = ()
