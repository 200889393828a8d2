"""ROUGE-L recall: how much of the reference answer comes up, in order, in what was generated. Knows texts, no model.

Equal to `rouge_score.RougeScorer(["rougeL"], use_stemmer=True)`: words come from that package's own tokenizer. Two
things make it fast enough for every epoch: stems are cached, and the longest common subsequence is computed on bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from nltk.stem.porter import PorterStemmer
from rouge_score import tokenize as rouge_tokenize


class _CachedStemmer:
    """Porter's stemmer as `rouge_score` uses it, each word once."""

    def __init__(self) -> None:
        self.stem = lru_cache(maxsize=1 << 16)(PorterStemmer().stem)


_STEMMER = _CachedStemmer()


@lru_cache(maxsize=1 << 14)
def _words(text: str) -> tuple[str, ...]:
    return tuple(rouge_tokenize.tokenize(text, _STEMMER))


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


def rouge_l_recall(reference: str, generated: str) -> float:
    """Longest common subsequence of stemmed words over the number of reference words; 0 if either text has none."""
    target = _words(reference)
    return lcs_length(target, _words(generated)) / len(target) if target else 0.0
