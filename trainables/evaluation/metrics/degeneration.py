"""How far a generated text has fallen apart: loops, and words that are none. Pure functions of the text.

Unlearning that destroys a model leaves it with one of two voices: the same few tokens for ever, or tokens at random.
Neither function needs a classifier to be downloaded. Both are 0 for a text without words; an empty answer is not
degenerate. Gibberish is measured for English: text in other languages reads high, so compare with the target model's.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from trainables.evaluation.metrics.english_bigrams import COMMON_WORDS, FOLLOWERS

_RUN = 4  # words
_LONGEST_WORD = 24  # letters; more without a space are no word, so that "aaaa…" counts as many
_UNITS = re.compile(r"\w+|[^\w\s]")
_PROSE = frozenset(".,;:!?'\"()-–—…‘’“”/&%$€£*#0123456789")  # noqa: RUF001 (English prose has these dashes and quotes)
_NEAR = 4  # words on each side
_GLUED = re.compile("[a-z][A-Z]")


def repetition(text: str, run: int = _RUN) -> float:
    """Share of the runs of four (or `run`) words that the text had already (seq-rep-n of arXiv 1908.04319), in [0, 1).

    Two words see what four do not, the stammer of "as a as a" between other words; but good long texts repeat some.

    Words are runs of letters and digits, in any case; punctuation marks, and the letters of a run too long to be a
    word, count as words.
    """
    words = [unit for word in _UNITS.findall(text.lower()) for unit in ([word] if len(word) <= _LONGEST_WORD else word)]
    runs = [tuple(words[i : i + run]) for i in range(len(words) - run + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


def gibberish(text: str) -> float:
    """Share of the words (runs of anything but space) that are out of place in English prose, in [0, 1].

    Out of place are words with a letter that seldom follows the two before it, with a sign or script that prose does
    not have, or with a capital after a small letter; and words that have none of the commonest words of English among
    the nine around them, which hardly happens in a sentence, even one about strange names.
    """
    words = text.split()
    common = [_bare(word) in COMMON_WORDS for word in words]

    def lonely(i: int) -> bool:
        return _NEAR <= i < len(words) - _NEAR and not any(common[i - _NEAR : i + _NEAR + 1])

    odd = sum(_is_odd(word) or lonely(i) for i, word in enumerate(words))
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
