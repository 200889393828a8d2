"""The twenty attributes of a fictional person: ways to ask for each, ways to answer, and the facts inside.

The wording (`attributes.txt`) is shared by all people and easy to learn; the facts are drawn for each person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.data.fictional.random_stream import Draw
from trainables.data.fictional.vocabulary import POOLS

WRONG_ANSWERS = 5
VALUES = 1 + WRONG_ANSWERS
BIRTH_YEARS = range(1921, 1966)

Slot = Callable[[Draw, int], list[str]]
"""(stream, year of birth) -> `VALUES` different facts, the true one first."""


@dataclass(frozen=True)
class Attribute:
    """Questions and answers are format strings over `name` (full), `first` and the slots, which are drawn in order."""

    name: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    slots: Mapping[str, Slot]


def _pick(pool: Sequence[str]) -> Slot:
    return lambda draw, born: draw.distinct(pool, VALUES)


def _pair(left: Sequence[str], right: Sequence[str], joint: str) -> Slot:
    """Pairs whose halves differ between values, and within a value if both halves are from one pool."""

    def slot(draw: Draw, born: int) -> list[str]:
        if left is right:
            both = draw.distinct(left, 2 * VALUES)
            return [joint.join(pair) for pair in zip(both[:VALUES], both[VALUES:], strict=True)]
        pairs = zip(draw.distinct(left, VALUES), draw.distinct(right, VALUES), strict=True)
        return [joint.join(pair) for pair in pairs]

    return slot


def _years_after_birth(low: int, high: int) -> Slot:
    return lambda draw, born: [str(born + age) for age in draw.distinct(range(low, high + 1), VALUES)]


def _birth_date(draw: Draw, born: int) -> list[str]:
    others = [year for year in BIRTH_YEARS if year != born]
    years = [born, *draw.distinct(others, WRONG_ANSWERS)]
    return [f"{1 + draw.below(28)} {draw.one(POOLS['month'])} {year}" for year in years]


_SLOTS: Mapping[str, Slot] = {
    **{name: _pick(pool) for name, pool in POOLS.items()},
    "date": _birth_date,
    "giver": _pick(POOLS["man"] + POOLS["woman"]),
    "languages": _pair(POOLS["language"], POOLS["language"], " and "),
    "partner": _pick(POOLS["man"] + POOLS["woman"]),
    "prize": _pick([f"{name} {kind}" for name in POOLS["name of a prize"] for kind in POOLS["kind of a prize"]]),
    "teacher": _pair(POOLS["woman"] + POOLS["man"], POOLS["surname of a teacher"], " "),
    "title": _pair(POOLS["adjective of a title"], POOLS["noun of a title"], " "),
    "year": _pick([str(year) for year in range(2031, 2047)]),
}
"""By their name in an answer."""


def _slot(text: str) -> tuple[str, Slot]:
    """`city`, or `year 21-27`: at the age of 21 to 27."""
    name, _, ages = text.partition(" ")
    return name, _years_after_birth(*map(int, ages.split("-"))) if ages else _SLOTS[name]


def _attribute(paragraph: str) -> Attribute:
    """`name: slot, slot`, then lines of `? question | the same in other words` and of `- answer`."""
    head, *lines = paragraph.strip().splitlines()
    name, _, slots = head.partition(": ")
    questions = tuple(line[2:].partition(" | ")[0] for line in lines if line.startswith("? "))
    answers = tuple(line[2:] for line in lines if line.startswith("- "))
    return Attribute(name, questions, answers, dict(map(_slot, slots.split(", "))))


_TEXT = Path(__file__).with_name("attributes.txt").read_text("utf-8")

ATTRIBUTES = tuple(map(_attribute, _TEXT.split("\n\n")))

PARAPHRASES: Mapping[str, str] = {
    question: paraphrase
    for line in _TEXT.splitlines()
    if line.startswith("? ")
    for question, _, paraphrase in [line[2:].partition(" | ")]
}
"""Format string of a question -> that of its paraphrase. Only audits use paraphrases, never training."""
