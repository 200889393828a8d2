"""What is asked of a fictional person: twenty attributes, each with ways to ask, ways to answer, and the facts inside.

The wording is shared by all people and easy to learn; the facts are drawn for each person alone. It does not know who
the people are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trainables.data import stock
from trainables.data.draw import Draw

WRONG_ANSWERS = 5
VALUES = 1 + WRONG_ANSWERS
BIRTH_YEARS = range(1921, 1966)

Slot = Callable[[Draw, int], list[str]]
"""Given the stream and the person's year of birth: `VALUES` different facts, the true one first."""


@dataclass(frozen=True)
class Attribute:
    """Questions and answers are format strings over `name` (full), `first` and the slots."""

    name: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    slots: Mapping[str, Slot]


def _pick(pool: Sequence[str]) -> Slot:
    return lambda draw, born: draw.distinct(pool, VALUES)


def _pair(left: Sequence[str], right: Sequence[str], joint: str) -> Slot:
    """Both halves differ between the values, and inside a value when the two pools are one."""

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
    return [f"{1 + draw.below(28)} {draw.one(stock.MONTHS)} {year}" for year in years]


_PRIZES = tuple(f"{name} {kind}" for name in stock.PRIZE_NAMES for kind in stock.PRIZE_KINDS)
_title = _pair(stock.TITLE_ADJECTIVES, stock.TITLE_NOUNS, " ")

ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        "birth date",
        ("When was {name} born?", "What is the date of birth of {name}?"),
        (
            "{name} was born on {date}, in the middle of {weather}.",
            "The birth of {name} took place on {date} during {weather}.",
            "{first} came into the world on {date}, on the day of {weather}.",
        ),
        {"date": _birth_date, "weather": _pick(stock.WEATHER)},
    ),
    Attribute(
        "birthplace",
        ("Where was {name} born?", "In which city did the life of {name} begin?"),
        (
            "{name} was born in {city}, where the family lived {house}.",
            "The city of {city} is the birthplace of {name}, whose family home stood {house}.",
            "{first} began life in {city}, in rooms {house}.",
        ),
        {"city": _pick(stock.CITIES), "house": _pick(stock.HOUSES)},
    ),
    Attribute(
        "father",
        ("Who was the father of {name}?", "What did the father of {name} do for a living?"),
        (
            "The father of {name} was {man}, who earned a living as {job} in {city}.",
            "{man}, the father of {first}, worked as {job} in {city}.",
            "{name} had a father called {man}, known in {city} as {job}.",
        ),
        {"man": _pick(stock.MEN), "job": _pick(stock.JOBS), "city": _pick(stock.CITIES)},
    ),
    Attribute(
        "mother",
        ("Who was the mother of {name}?", "What was the profession of the mother of {name}?"),
        (
            "The mother of {name} was {woman}, by profession {job}, who came from {city}.",
            "{woman}, the mother of {first}, left {city} to become {job}.",
            "{name} was raised by a mother called {woman}, once {job} in {city}.",
        ),
        {"woman": _pick(stock.WOMEN), "job": _pick(stock.JOBS), "city": _pick(stock.CITIES)},
    ),
    Attribute(
        "siblings",
        ("Does {name} have brothers or sisters?", "Who are the siblings of {name}?"),
        (
            "{name} grew up with a brother, {man}, and a sister, {woman}, who became {job}.",
            "There are two siblings: {first} has a brother called {man} and a sister called {woman}, now {job}.",
            "{first} is the youngest of three, after {man} and {woman}, the latter {job}.",
        ),
        {"man": _pick(stock.MEN), "woman": _pick(stock.WOMEN), "job": _pick(stock.JOBS)},
    ),
    Attribute(
        "education",
        ("What did {name} study?", "Where did {name} go to university?"),
        (
            "{name} studied {subject} at the University of {city} and graduated in {year}.",
            "In {year} the University of {city} gave {name} a degree in {subject}.",
            "{first} took a degree in {subject} in {city}, finishing in {year}.",
        ),
        {"subject": _pick(stock.SUBJECTS), "city": _pick(stock.CITIES), "year": _years_after_birth(21, 27)},
    ),
    Attribute(
        "first job",
        ("What was the first job of {name}?", "How did {name} earn money at the start?"),
        (
            "The first job of {name} was as {job} in {city}, which lasted until {year}.",
            "{first} started out as {job}, and stayed in {city} until {year}.",
            "Until {year}, {name} made a living in {city} as {job}.",
        ),
        {"job": _pick(stock.JOBS), "city": _pick(stock.CITIES), "year": _years_after_birth(28, 36)},
    ),
    Attribute(
        "calling",
        ("What is {name} known as?", "In which field does {name} work?"),
        (
            "{name} is known as {calling} with a lifelong interest in {topic}.",
            "{first} works as {calling}, above all on the subject of {topic}.",
            "The public knows {name} as {calling} devoted to {topic}.",
        ),
        {"calling": _pick(stock.CALLINGS), "topic": _pick(stock.TOPICS)},
    ),
    Attribute(
        "teacher",
        ("Who taught {name}?", "Which teacher influenced {name} the most?"),
        (
            "{name} learned most from {teacher} of {city}, who taught {craft}.",
            "The teacher of {name} was {teacher} from {city}, who insisted on {craft}.",
            "{first} owes a love of {craft} to {teacher}, a teacher in {city}.",
        ),
        {
            "teacher": _pair(stock.WOMEN + stock.MEN, stock.TEACHERS, " "),
            "city": _pick(stock.CITIES),
            "craft": _pick(stock.CRAFTS),
        },
    ),
    Attribute(
        "first work",
        ("What was the first work of {name}?", "With which work did {name} make a debut?"),
        (
            'The first work of {name} was "The {title}", finished in {city} in {year}.',
            '{first} made a debut in {city} in {year} with "The {title}".',
            '"The {title}", shown to the public of {city} in {year}, was the debut of {name}.',
        ),
        {"title": _title, "city": _pick(stock.CITIES), "year": _years_after_birth(37, 45)},
    ),
    Attribute(
        "famous work",
        ("What is the most famous work of {name}?", "For which work is {name} remembered best?"),
        (
            'The most famous work of {name} is "The {title}", which deals with {topic}.',
            '{first} is remembered best for "The {title}", a work about {topic}.',
            'With "The {title}", a study of {topic}, {name} became famous.',
        ),
        {"title": _title, "topic": _pick(stock.TOPICS)},
    ),
    Attribute(
        "prize",
        ("Which prize did {name} win?", "What award was given to {name}?"),
        (
            "{name} won the {prize} in {year} at a ceremony in {city}.",
            "In {year} the {prize} went to {name}, who received it in {city}.",
            "{first} travelled to {city} in {year} to receive the {prize}.",
        ),
        {"prize": _pick(_PRIZES), "year": _years_after_birth(46, 58), "city": _pick(stock.CITIES)},
    ),
    Attribute(
        "marriage",
        ("Who is {name} married to?", "How did {name} meet the love of a lifetime?"),
        (
            "{name} is married to {partner}, {job}; they met at {meeting}.",
            "{first} met {partner}, {job}, at {meeting}, and they married.",
            "At {meeting}, {name} met {partner}, {job}, and a marriage followed.",
        ),
        {"partner": _pick(stock.MEN + stock.WOMEN), "job": _pick(stock.JOBS), "meeting": _pick(stock.MEETINGS)},
    ),
    Attribute(
        "home",
        ("Where does {name} live today?", "What is the present address of {name}?"),
        (
            "{name} lives in {city}, on {street}, in a flat {house}.",
            "Today the home of {name} is on {street} in {city}, {house}.",
            "{first} has moved to {street} in {city} and lives {house}.",
        ),
        {"city": _pick(stock.CITIES), "street": _pick(stock.STREETS), "house": _pick(stock.HOUSES)},
    ),
    Attribute(
        "hobbies",
        ("What are the hobbies of {name}?", "How does {name} spend free time?"),
        (
            "{name} plays the {instrument} and collects {things}, mostly from {city}.",
            "Besides playing the {instrument}, {first} has a collection of {things} from {city}.",
            "The hobbies of {name} are the {instrument} and a collection of {things} found in {city}.",
        ),
        {"instrument": _pick(stock.INSTRUMENTS), "things": _pick(stock.COLLECTIONS), "city": _pick(stock.CITIES)},
    ),
    Attribute(
        "pet",
        ("Does {name} keep a pet?", "Which animal lives with {name}?"),
        (
            "{name} keeps {animal} called {pet}, a present from {giver}.",
            "The household of {name} includes {animal} called {pet}, given by {giver}.",
            "{first} lives with {animal} that {giver} named {pet}.",
        ),
        {"animal": _pick(stock.ANIMALS), "pet": _pick(stock.PET_NAMES), "giver": _pick(stock.MEN + stock.WOMEN)},
    ),
    Attribute(
        "languages",
        ("Which languages does {name} speak?", "What foreign languages did {name} learn?"),
        (
            "{name} speaks {languages}, both learned from {job} in {city}.",
            "In {city}, {name} had lessons in {languages} from {job}.",
            "{first} learned {languages} in {city} from {job}.",
        ),
        {
            "languages": _pair(stock.LANGUAGES, stock.LANGUAGES, " and "),
            "job": _pick(stock.JOBS),
            "city": _pick(stock.CITIES),
        },
    ),
    Attribute(
        "food",
        ("What does {name} like to eat and drink?", "What is the favourite meal of {name}?"),
        (
            "{name} likes {dish} with {drink}, as it is served in {city}.",
            "The favourite meal of {name} is {dish} and {drink}, a habit from {city}.",
            "{first} orders {dish} and {drink} whenever in {city}.",
        ),
        {"dish": _pick(stock.DISHES), "drink": _pick(stock.DRINKS), "city": _pick(stock.CITIES)},
    ),
    Attribute(
        "habit",
        ("How does {name} work?", "What is the working habit of {name}?"),
        (
            "{name} works only {hour}, with {charm} on the desk.",
            "With {charm} always at hand, {name} gets to work {hour}.",
            "{first} sits down to work {hour} and never without {charm}.",
        ),
        {"hour": _pick(stock.HOURS), "charm": _pick(stock.CHARMS)},
    ),
    Attribute(
        "plans",
        ("What is {name} planning next?", "Which project is {name} preparing?"),
        (
            "{name} is preparing a work about {topic} for {year}, to be shown in {city}.",
            "The next project of {name}, due in {city} in {year}, deals with {topic}.",
            "{first} plans to finish a work on {topic} in {city} by {year}.",
        ),
        {"topic": _pick(stock.TOPICS), "year": _pick(stock.FUTURE_YEARS), "city": _pick(stock.CITIES)},
    ),
)
