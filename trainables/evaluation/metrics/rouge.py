"""ROUGE: how much of the reference answer a generated text contains.

Equal to `rouge_score.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)`, whose tokenizer it uses; fast enough for
every epoch because stems are cached and the longest common subsequence is computed on bits. Imports the package at
first use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import NamedTuple


@cache
def _stemmer() -> SimpleNamespace:
    """Porter's stemmer with a cache, in the form that `rouge_score` takes."""
    from nltk.stem.porter import PorterStemmer

    return SimpleNamespace(stem=lru_cache(maxsize=1 << 16)(PorterStemmer().stem))


@lru_cache(maxsize=1 << 14)
def _words(text: str) -> tuple[str, ...]:
    from rouge_score import tokenize as rouge_tokenize

    return tuple(rouge_tokenize.tokenize(text, _stemmer()))


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence (bit-parallel, Hyyrö 2004: the zero bits of the last row)."""
    positions: dict[str, int] = {}
    for i, word in enumerate(first):
        positions[word] = positions.get(word, 0) | 1 << i
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        matches = row & positions.get(word, 0)
        row = (row + matches | row - matches) & full
    return len(first) - row.bit_count()


class Rouge(NamedTuple):
    """On stemmed words: the share of the reference's words that were generated, in any order; the longest common
    subsequence's share of the reference; its harmonic mean with the subsequence's share of the generated text.
    """

    rouge_1_recall: float
    rouge_l_recall: float
    rouge_l_f1: float


def rouge(reference: str, generated: str) -> Rouge:
    """All scores are 0 if either text has no words."""
    target, words = _words(reference), _words(generated)
    if not target or not words:
        return Rouge(0.0, 0.0, 0.0)
    found = lcs_length(target, words)
    common = (Counter(target) & Counter(words)).total()
    f1 = 2.0 * found / (len(target) + len(words))
    return Rouge(common / len(target), found / len(target), f1)


def rouge_l_recall(reference: str, generated: str) -> float:
    """Longest common subsequence of stemmed words over the number of reference words; 0 if either text has no words."""
    return rouge(reference, generated).rouge_l_recall
