"""The embedded benchmark: fictional people generated from a seed, and a few true facts about the world.

Person i of a seed is the same for every number of people, so a larger benchmark begins with the smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from trainables.config import BenchmarkConfig
from trainables.data.fictional import general_facts, vocabulary
from trainables.data.fictional.attributes import ATTRIBUTES, BIRTH_YEARS, PARAPHRASES, VALUES, Attribute
from trainables.data.fictional.random_stream import Draw
from trainables.data.forget_retain import without_variants
from trainables.data.rows import EvalSet, Row, Split
from trainables.data.splitting import ROWS_PER_PERSON, digest_rows, forget_start, fraction_problem, thin

DEFAULT_PEOPLE = 20
MAX_PEOPLE = len(vocabulary.FIRST_NAMES) * len(vocabulary.SURNAMES)
MIN_HOLDOUT_PEOPLE = 4


@dataclass(frozen=True)
class FictionalBenchmark:
    """`full`: 20 rows per person, person by person. `holdout`: other people, on whom no model is trained."""

    full: tuple[Row, ...]
    holdout: tuple[Row, ...]
    evaluation_rows: int | None = None
    name: str = "fictional"

    @cached_property
    def digest(self) -> str:
        return digest_rows((self.full, self.holdout, general_facts.REAL_PEOPLE, general_facts.WORLD_FACTS))

    @property
    def general(self) -> tuple[Row, ...]:
        return general_facts.REAL_PEOPLE + general_facts.WORLD_FACTS

    def check_fraction(self, fraction: float) -> str | None:
        return fraction_problem(fraction, len(self.full) // ROWS_PER_PERSON)

    def split(self, fraction: float) -> Split:
        """The last `fraction` of the people are forgotten. Raises ValueError if that is not a whole number."""
        if problem := self.check_fraction(fraction):
            raise ValueError(problem)
        start = forget_start(fraction, len(self.full))
        forget, retain = self.full[start:], self.full[:start]
        limit = self.evaluation_rows
        evaluation = {
            "forget": EvalSet(forget, role="forget"),
            "retain": EvalSet(thin(retain, limit)),
            "real_authors": EvalSet(thin(general_facts.REAL_PEOPLE, limit), multiple_choice=True),
            "world_facts": EvalSet(thin(general_facts.WORLD_FACTS, limit), multiple_choice=True),
            "holdout": EvalSet(tuple(map(without_variants, thin(self.holdout, limit))), role="holdout", generate=False),
        }
        return Split(fraction, forget, retain, evaluation)


def make_benchmark(config: BenchmarkConfig) -> FictionalBenchmark:
    """`config.people` people of seed `config.seed`; a tenth as many again (at least 4) are held out."""
    if problem := config_problem(config):
        raise ValueError(problem)
    people = people_of(config)
    holdout = max(MIN_HOLDOUT_PEOPLE, people // 10)
    return FictionalBenchmark(
        full=_rows("person", config.seed, vocabulary.SURNAMES, people),
        holdout=_rows("holdout", config.seed, vocabulary.HOLDOUT_SURNAMES, holdout),
        evaluation_rows=config.evaluation_rows,
    )


def config_problem(config: BenchmarkConfig) -> str | None:
    """Why these people cannot be generated (value, rule, fix), or None."""
    if people_of(config) > MAX_PEOPLE:
        return f"people={config.people}: the generator has names for at most {MAX_PEOPLE}; use {MAX_PEOPLE} or fewer"
    return None


def people_of(config: BenchmarkConfig) -> int:
    return DEFAULT_PEOPLE if config.people is None else config.people


def _rows(kind: str, seed: int, surnames: Sequence[str], people: int) -> tuple[Row, ...]:
    names = _names(Draw("names", kind, seed), surnames, people)
    return tuple(row for i, name in enumerate(names) for row in _person(Draw(kind, seed, i), *name))


def _names(draw: Draw, surnames: Sequence[str], people: int) -> list[tuple[str, str]]:
    """Different pairs (first name, surname): each pass over the first names shifts the surnames by one."""
    firsts = draw.distinct(vocabulary.FIRST_NAMES, len(vocabulary.FIRST_NAMES))
    lasts = draw.distinct(surnames, len(surnames))
    turns = (divmod(i, len(firsts)) for i in range(people))
    return [(firsts[place], lasts[(place + turn) % len(lasts)]) for turn, place in turns]


def _person(draw: Draw, first: str, last: str) -> list[Row]:
    born = draw.one(BIRTH_YEARS)
    return [_row(draw, attribute, first, f"{first} {last}", born) for attribute in ATTRIBUTES]


def _row(draw: Draw, attribute: Attribute, first: str, name: str, born: int) -> Row:
    """One row. Wrong answers have the paraphrase's wording and differ from it and from each other in every fact."""
    drawn = {slot: values(draw, born) for slot, values in attribute.slots.items()}
    answer, paraphrase = draw.distinct(attribute.answers, 2)
    question = draw.one(attribute.questions)
    versions = [{"first": first, "name": name, **{k: v[i] for k, v in drawn.items()}} for i in range(VALUES)]
    return Row(
        question=question.format(name=name),
        answer=answer.format(**versions[0]),
        paraphrased_answer=paraphrase.format(**versions[0]),
        perturbed_answers=tuple(paraphrase.format(**wrong) for wrong in versions[1:]),
        paraphrased_question=PARAPHRASES[question].format(name=name),
    )
