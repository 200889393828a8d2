"""Pieces of a text: whole when put together, bounded, cut between words."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from trainables.data.chunks import chunks, halves

words = st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=200).map(" ".join)
texts = words | st.text(max_size=400)


@given(text=texts, limit=st.integers(4, 120))
def test_pieces_are_the_text_and_bounded(text: str, limit: int) -> None:
    pieces = chunks(text, limit)
    assert "".join(pieces) == text
    assert all(len(piece) <= limit for piece in pieces)
    assert len(pieces) == 1 or all(pieces)


@given(text=words, limit=st.integers(40, 120))
@example(text=" ".join("a" * n for n in (1, 1, 9, 11, 8, 12, 3, 4, 9)), limit=40)
def test_no_word_is_cut_and_no_piece_is_tiny(text: str, limit: int) -> None:
    pieces = chunks(text, limit)
    assert [word for piece in pieces for word in piece.split()] == text.split()
    assert len(pieces) == 1 or min(map(len, pieces)) >= limit // 8


@given(text=texts.filter(lambda text: len(text) >= 2))
def test_halves_are_the_text_and_none_is_empty(text: str) -> None:
    before, after = halves(text)
    assert before + after == text and before and after


def test_a_text_without_spaces_is_cut_too() -> None:
    assert chunks("x" * 25, 10) == ("x" * 9, "x" * 8, "x" * 8)
    assert halves("one two three four") == ("one two", " three four")
