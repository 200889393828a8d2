"""Answers that decline to answer: a hundred built-in ones (`refusals.txt`), or the lines of the user's file."""

from __future__ import annotations

from pathlib import Path

from trainables.data.text_files import read_text

REFUSALS = tuple(Path(__file__).with_name("refusals.txt").read_text("utf-8").splitlines())


def load_refusals(path: str | None) -> tuple[str, ...]:
    """The non-blank lines of the file, in order; the built-in refusals if `path` is None.

    Raises ValueError (value, rule, fix) if the file is missing, not UTF-8 or blank.
    """
    if path is None:
        return REFUSALS
    lines = read_text(Path(path), f"refusals={path!r}").split("\n")
    refusals = tuple(line.strip() for line in lines if line.strip())
    if not refusals:
        raise ValueError(f"refusals={path!r}: no refusals; one per line is needed; add lines, or leave refusals out")
    return refusals
