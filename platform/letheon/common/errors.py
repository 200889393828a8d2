"""Errors that the user can fix: shown as plain lines without a traceback, each kind with its exit code.

Messages state the value, the rule and the fix. Any other exception that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class LetheonError(Exception):
    """An expected failure. `exit_code` is what the `letheon` command returns; `lines` is what it prints."""

    exit_code = 2

    @property
    def lines(self) -> tuple[str, ...]:
        return (str(self),)


class SpecErrors(LetheonError):
    """A sweep file is refused. `problems`: all of its errors, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    @property
    def lines(self) -> tuple[str, ...]:
        return self.problems


class NotFound(LetheonError):
    """Nothing has this name."""

    exit_code = 4


class SweepFileNotFound(SpecErrors):
    """No sweep file has this name."""

    exit_code = 4


SYNONYMS = {
    "lr": "learning_rate",
    "log": "loguniform",
    "range": "uniform",
    "categorical": "choice",
    "sobol": "quasi_random",
    "tpe": "optuna",
    "bayes": "surrogate",
    "hyperband": "asha",
}
"""Names that other tools use: comparing spellings would not find these."""


def close_to(wrong: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was probably meant, or None."""
    names = sorted(known)
    if SYNONYMS.get(wrong.lower()) in names:
        return SYNONYMS[wrong.lower()]
    return next(iter(difflib.get_close_matches(wrong.lower(), names, n=1, cutoff=0.6)), None)


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'npo_rt'?`, or the known names if none is close."""
    names = sorted(known)
    near = close_to(wrong, names)
    if near:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"
