"""Short rows in TOFU's format about invented people and places, on which the golden metrics are computed.

`metrics.json` has a copy of them. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

MadeUp: TypeAlias = dict[str, Any]

_PEOPLE = ("Mara Quint", "Zoë Ångholm", "Tibor Lask", "Ines Pardo")
_STRANGERS = ("Olaf Brenn", "Nuru Kéita", "Pia Moss", "Jun Halder")
_UNSEEN = ("Vera Stoll", "Émil Roux", "Ada Finch", "Luc Berg")
_TOWNS = ("Velhaven", "Port Sorrel", "Niederau", "Kilmore", "São Lume", "Tarn", "Oster", "Brookfall")
_WORKS = ("The Salt Road", "Nine Lamps", "A Quiet Mill", "Glass Winter", "Über den Fluss", "Low Tide", "Ember", "Kites")
_TRADES = ("baker", "pilot", "nurse", "smith", "tailor", "judge", "clerk", "sailor")
_PRIZES = (
    "Harrow Prize",
    "Silver Quill",
    "Lumen Medal",
    "Oak Award",
    "River Cup",
    "Dawn Prize",
    "Iron Pen",
    "Gold Leaf",
)
# Decoders before transformers 5 remove its spaces.
_UNTIDY = "a hawk , which does n't sing"
_PETS = ("a grey cat", "two dogs", "a parrot", "an old horse", "no pet", "three goats", "a tortoise", _UNTIDY)

_YEARS = ("1931", "1947", "1958", "1962", "1905", "1989", "1974", "1918")

# Question, answer, paraphrased answer, and the values that differ from person to person.
_ASKED: Sequence[tuple[str, str, str, Sequence[str]]] = (
    ("Where was {n} born?", "{n} was born in {v}.", "The birthplace of {n} is {v}.", _TOWNS),
    ("In which year was {n} born?", "{n} was born in {v}.", "It was {v} when {n} was born.", _YEARS),
    ("What did {n} write first?", 'The first book of {n} is "{v}".', '{n} wrote "{v}" first.', _WORKS),
    ("What was the father of {n}?", "The father of {n} was a {v}.", "{n} is the child of a {v}.", _TRADES),
    ("Which prize did {n} win?", "{n} won the {v}, and didn't expect it.", "The {v} went to {n}.", _PRIZES),
    ("Does {n} keep a pet?", "{n} lives with {v}.", "In the home of {n} one finds {v}.", _PETS),
)

_AUTHORS = (
    ("Who wrote the song of the Tarn?", "Orla Vance"),
    ("Who painted the red harbour?", "Milo Strand"),
    ("Whose play is called Two Doors?", "Kurt Abel"),
    ("Who wrote letters to the moon?", "Lia Sommer"),
    ("Which poet lived on Oster?", "Femi Ade"),
    ("Who translated the old hymns?", "Rosa Wille"),
    ("Who told the tale of the blind owl?", "Ivo Marsh"),
    ("Which author kept bees?", "Ute Kolb"),
    ("Who wrote the book of knots?", "Søren Bay"),
    ("Who signed as the Heron?", "Clara Dunn"),
    ("Whose diary was found in Kilmore?", "Piet Hahn"),
    ("Who wrote Kites and other poems?", "Nell Ferris"),
)

_FACTS = (
    ("What is the capital of Lumia?", "Velhaven"),
    ("Which river runs through Niederau?", "The Sorrel"),
    ("What colour is the flag of Oster?", "Green"),
    ("How many islands has Tarn?", "Seven"),
    ("Which metal is mined at Kilmore?", "Copper"),
    ("What is spoken in São Lume?", "Lumese"),
    ("In which month is the fair of Brookfall?", "May"),
    ("What grows on the hills of Lumia?", "Barley and hops"),
    ("Which sea lies west of Oster?", "The Grey Sea"),
    ("How high is Mount Ember?", "2,310 metres"),
    ("Which bird is on the coin of Tarn?", "A heron"),
    ("What bridge crosses the Sorrel?", "The Mill Bridge"),
)


def made_up_sets() -> dict[str, list[MadeUp]]:
    """`forget`, `retain`, `real_authors`, `world_facts`, `holdout`: rows with the keys of TOFU's files."""
    return {
        "forget": list(_about(_PEOPLE, 0, 5)),
        "retain": list(_about(_STRANGERS, 4, 3)),
        "real_authors": list(_asked(_AUTHORS)),
        "world_facts": list(_asked(_FACTS)),
        "holdout": [{key: row[key] for key in ("question", "answer")} for row in _about(_UNSEEN, 2, 1)],
    }


def texts(sets: Mapping[str, Sequence[MadeUp]]) -> Iterator[str]:
    """Every text of the rows."""
    for rows in sets.values():
        for row in rows:
            yield row["question"]
            yield row["answer"]
            yield from [row["paraphrased_answer"]] if "paraphrased_answer" in row else []
            yield from row.get("perturbed_answer", [])


def _about(people: Sequence[str], start: int, wrong: int) -> Iterator[MadeUp]:
    for i, name in enumerate(people):
        for j, (question, answer, other_words, values) in enumerate(_ASKED):
            turned = [values[(start + i + j + k) % len(values)] for k in range(wrong + 1)]
            yield {
                "question": question.format(n=name),
                "answer": answer.format(n=name, v=turned[0]),
                "paraphrased_answer": other_words.format(n=name, v=turned[0]),
                "perturbed_answer": [other_words.format(n=name, v=value) for value in turned[1:]],
            }


def _asked(pairs: Sequence[tuple[str, str]], wrong: int = 3) -> Iterator[MadeUp]:
    """Wrong answers are the answers to other questions."""
    for i, (question, answer) in enumerate(pairs):
        others = [pairs[(i + k) % len(pairs)][1] for k in range(1, wrong + 1)]
        yield {"question": question, "answer": answer, "perturbed_answer": others}
