"""The words that fictional people and their lives are made of (`vocabulary.txt`).

First names and surnames are invented or rare, so that no pair of them is meant to be a living person. The pools are
small enough for a vocabulary of 2,048 byte-pair tokens, and large enough for a fact and five wrong ones.
"""

from __future__ import annotations

from pathlib import Path


def _pool(paragraph: str) -> tuple[str, tuple[str, ...]]:
    """Name and entries of `name: entry, entry, …`, over any number of lines."""
    name, entries = paragraph.split(":")
    return name, tuple(" ".join(entry.split()) for entry in entries.split(","))


POOLS = dict(map(_pool, Path(__file__).with_name("vocabulary.txt").read_text("utf-8").split("\n\n")))

FIRST_NAMES, SURNAMES = POOLS["first name"], POOLS["surname"]
HOLDOUT_SURNAMES = POOLS["surname of the held out"]  # never used for people that models are trained on
