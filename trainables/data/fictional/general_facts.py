"""True, widely known facts, each with three wrong answers of the same form (`general_facts.txt`).

One row per line: question | answer | three wrong answers, separated by commas.
"""

from __future__ import annotations

from pathlib import Path

from trainables.data.rows import Row


def _rows(text: str) -> tuple[Row, ...]:
    fields = ([part.strip() for part in line.split("|")] for line in text.strip().splitlines())
    return tuple(Row(q, a, perturbed_answers=tuple(w.strip() for w in wrong.split(","))) for q, a, wrong in fields)


REAL_PEOPLE, WORLD_FACTS = map(_rows, Path(__file__).with_name("general_facts.txt").read_text("utf-8").split("\n\n"))
