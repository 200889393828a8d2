"""Extraction strength and exact memorization against a search over every suffix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.evaluation.metrics.memorisation import (
    exact_memorization,
    extraction_strength,
    open_unlearning_extraction_strength,
)

guesses = st.lists(st.booleans(), min_size=1, max_size=40)


@given(guesses)
def test_the_longest_suffix_that_is_all_hits(hits: list[bool]) -> None:
    longest = max((len(hits) - k for k in range(len(hits)) if all(hits[k:])), default=0)
    assert extraction_strength(hits) == pytest.approx(longest / len(hits), abs=1e-12)
    assert exact_memorization(hits) == pytest.approx(hits.count(True) / len(hits))
    assert extraction_strength(hits) <= exact_memorization(hits) + 1e-12


@given(guesses)
def test_open_unlearning_stops_its_search_at_the_last_token(hits: list[bool]) -> None:
    """Its loop over k ends with the last index where no suffix matched."""
    k = next((k for k in range(len(hits)) if all(hits[k:])), len(hits) - 1)
    assert open_unlearning_extraction_strength(hits) == pytest.approx(1 - k / len(hits))


def test_an_answer_without_tokens_gives_nothing_away() -> None:
    assert extraction_strength([]) == open_unlearning_extraction_strength([]) == exact_memorization([]) == 0.0
