"""The words that fictional people and their lives are made of. The words are in `stock.txt`.

Surnames and first names are invented or rare, so that no pair of them is meant to be a living person. The pools are
small enough for a vocabulary of 2,048 byte-pair tokens, and large enough for a fact and five wrong ones.
"""

from __future__ import annotations

from pathlib import Path


def _pool(paragraph: str) -> tuple[str, tuple[str, ...]]:
    """Name and entries of `name: entry, entry, …`, over any number of lines."""
    name, entries = paragraph.split(":")
    return name, tuple(" ".join(entry.split()) for entry in entries.split(","))


_POOLS = dict(map(_pool, Path(__file__).with_name("stock.txt").read_text("utf-8").split("\n\n")))

FIRST_NAMES = _POOLS["first_names"]
SURNAMES = _POOLS["surnames"]
HOLDOUT_SURNAMES = _POOLS["holdout_surnames"]  # nobody who is trained on ever has one of these
MEN = _POOLS["men"]
WOMEN = _POOLS["women"]
TEACHERS = _POOLS["teachers"]
CITIES = _POOLS["cities"]
MONTHS = _POOLS["months"]
WEATHER = _POOLS["weather"]
HOUSES = _POOLS["houses"]
JOBS = _POOLS["jobs"]
CALLINGS = _POOLS["callings"]
TOPICS = _POOLS["topics"]
SUBJECTS = _POOLS["subjects"]
TITLE_ADJECTIVES = _POOLS["title_adjectives"]
TITLE_NOUNS = _POOLS["title_nouns"]
PRIZE_NAMES = _POOLS["prize_names"]
PRIZE_KINDS = _POOLS["prize_kinds"]
MEETINGS = _POOLS["meetings"]
CRAFTS = _POOLS["crafts"]
INSTRUMENTS = _POOLS["instruments"]
COLLECTIONS = _POOLS["collections"]
ANIMALS = _POOLS["animals"]
PET_NAMES = _POOLS["pet_names"]
LANGUAGES = _POOLS["languages"]
DISHES = _POOLS["dishes"]
DRINKS = _POOLS["drinks"]
HOURS = _POOLS["hours"]
CHARMS = _POOLS["charms"]
STREETS = _POOLS["streets"]
FUTURE_YEARS = tuple(str(year) for year in range(2031, 2047))
