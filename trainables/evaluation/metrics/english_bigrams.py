"""What English looks like: which letters follow which, and its commonest words (`english.txt`).

Counted over prose of three kinds in equal shares: answers about made-up people (TOFU), biographies and short stories
(LUME), and the Python language reference. Accents were taken off before.
"""

from __future__ import annotations

from pathlib import Path

_WORDS, _PAIRS = Path(__file__).with_name("english_bigrams.txt").read_text("ascii").split("\n\n")

COMMON_WORDS = frozenset(_WORDS.split())

FOLLOWERS = {pair: frozenset(letters) for pair, letters in (item.split(":") for item in _PAIRS.split())}
"""Two letters -> those that come after them in 99.8 % of English, or are not rare in themselves.

`_` stands for a word's beginning and its end.
"""
