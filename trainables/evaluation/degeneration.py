"""How far a generated text has fallen apart: loops, and letters that are no words. Pure functions of the text."""

from __future__ import annotations


def repetition(text: str) -> float:
    return 0.0


def gibberish(text: str) -> float:
    return 0.0
