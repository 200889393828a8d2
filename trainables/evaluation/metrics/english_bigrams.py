"""Statistics of English: which letters follow which, and its commonest words (`english_bigrams.txt`).

Counted over three kinds of prose in equal shares, with accents removed: answers about made-up people (TOFU),
biographies and short stories (LUME), and the Python language reference.
"""

from __future__ import annotations

from pathlib import Path

_WORDS, _PAIRS = Path(__file__).with_name("english_bigrams.txt").read_text("ascii").split("\n\n")

COMMON_WORDS = frozenset(_WORDS.split())

FOLLOWERS = {pair: frozenset(letters) for pair, letters in (item.split(":") for item in _PAIRS.split())}
"""Two letters -> the letters that follow them in 99.8 % of English, or that are not rare themselves.

`_` stands for the start or end of a word.
"""
