"""How degenerate a generated text is: repetition and gibberish. Pure functions of the text, without a classifier.

A model destroyed by unlearning repeats a few tokens forever or emits random ones. Both measures are 0 for a text
without words. Gibberish is calibrated on English: other languages score high, so compare with the target model.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

_RUN = 4  # words
_LONGEST_WORD = 24  # letters; a longer run, such as "aaaa…", counts as one word per letter
_UNITS = re.compile(r"\w+|[^\w\s]")
_PROSE = frozenset(".,;:!?'\"()-–—…‘’“”/&%$€£*#0123456789")  # noqa: RUF001 (English prose has these dashes and quotes)
_NEAR = 4  # words on each side
_GLUED = re.compile("[a-z][A-Z]")

# Counted over three kinds of prose in equal shares, with accents removed: answers about made-up people (TOFU),
# biographies and short stories (LUME), and the Python language reference.
_WORDS, _PAIRS = Path(__file__).with_name("english_bigrams.txt").read_text("ascii").split("\n\n")

COMMON_WORDS = frozenset(_WORDS.split())

FOLLOWERS = {pair: frozenset(letters) for pair, letters in (item.split(":") for item in _PAIRS.split())}
"""Two letters -> the letters that follow them in 99.8 % of English, or that are not rare themselves.

`_` stands for the start or end of a word.
"""


def repetition(text: str, run: int = _RUN) -> float:
    """Share of the runs of `run` words that occurred earlier in the text (seq-rep-n of arXiv 1908.04319), in [0, 1).

    Runs of two also catch a stammer such as "as a as a" between other words, but good long texts repeat some.

    Words are runs of letters and digits, ignoring case. Each punctuation mark counts as a word, and so does each letter
    of a run that is too long to be a word.
    """
    words = [unit for word in _UNITS.findall(text.lower()) for unit in ([word] if len(word) <= _LONGEST_WORD else word)]
    runs = [tuple(words[i : i + run]) for i in range(len(words) - run + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


def gibberish(text: str) -> float:
    """Share of the words (runs of anything but space) that are out of place in English prose, in [0, 1].

    A word is out of place if it has a letter that rarely follows the two before it, a sign or script that prose does
    not use, or a capital after a small letter; or if none of the nine words around it is among the commonest of
    English, which rarely happens in a sentence, even one full of foreign names.
    """
    words = text.split()
    common = [_bare(word) in COMMON_WORDS for word in words]

    def isolated(i: int) -> bool:
        return _NEAR <= i < len(words) - _NEAR and not any(common[i - _NEAR : i + _NEAR + 1])

    odd = sum(_is_odd(word) or isolated(i) for i, word in enumerate(words))
    return odd / len(words) if words else 0.0


def _bare(word: str) -> str:
    return "".join(letter for letter in word.lower() if "a" <= letter <= "z")


@lru_cache(maxsize=1 << 14)
def _is_odd(word: str) -> bool:
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
    if _GLUED.search(plain) or any(not "a" <= sign <= "z" and sign not in _PROSE for sign in plain.lower()):
        return True
    padded = [f"__{letters}_" for letters in re.findall("[a-z]+", plain.lower())]
    return any(
        letters[i] not in FOLLOWERS.get(letters[i - 2 : i], "") for letters in padded for i in range(2, len(letters))
    )
