"""Words for people: counts with their nouns (`1 trial`, `2 trials`), and names of settings."""

from __future__ import annotations


def several(count: float, noun: str) -> str:
    """The count and the noun, in the plural unless the count is 1."""
    return f"{count:g} {noun if count == 1 else f'{noun}s'}"


def several_of(count: int, whole: int | None, noun: str) -> str:
    """`3 of 16 trials`, or `3 trials` if `whole` is None."""
    return several(count, noun) if whole is None else f"{count} of {several(whole, noun)}"


def words(name: str) -> str:
    """`learning_rate` as `learning rate`."""
    return name.replace("_", " ")
