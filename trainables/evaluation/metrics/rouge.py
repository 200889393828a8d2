"""ROUGE: how much of the reference answer comes up in what was generated. Knows texts, no model.

Equal to `rouge_score.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)`: words come from that package's
own tokenizer. Two things make it fast enough for every epoch: stems are cached, and the longest common subsequence is
computed on bits. The package loads with the first word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple


class _CachedStemmer:
    """Porter's stemmer as `rouge_score` uses it, each word once."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = lru_cache(maxsize=1 << 16)(PorterStemmer().stem)


@cache
def _stemmer() -> _CachedStemmer:
    return _CachedStemmer()


@lru_cache(maxsize=1 << 14)
def _words(text: str) -> tuple[str, ...]:
    from rouge_score import tokenize as rouge_tokenize

    return tuple(rouge_tokenize.tokenize(text, _stemmer()))


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence (bit-parallel, Hyyrö 2004: zero bits count it)."""
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
    """Of stemmed words: share of the reference's that were generated, in any order; share of the reference in the
    longest common subsequence; harmonic mean of that and the subsequence's share of what was generated.
    """

    rouge_1_recall: float
    rouge_l_recall: float
    rouge_l_f1: float


def rouge(reference: str, generated: str) -> Rouge:
    """All 0 if either text has no words."""
    target, words = _words(reference), _words(generated)
    if not target or not words:
        return Rouge(0.0, 0.0, 0.0)
    found = lcs_length(target, words)
    common = (Counter(target) & Counter(words)).total()
    f1 = 2.0 * found / (len(target) + len(words))
    return Rouge(common / len(target), found / len(target), f1)


def rouge_l_recall(reference: str, generated: str) -> float:
    """Longest common subsequence of stemmed words over the number of reference words; 0 if either text has none."""
    return rouge(reference, generated).rouge_l_recall
