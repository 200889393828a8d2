"""Which tokens the goldfish mask drops, and that dropped tokens count nowhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from trainables.batching.goldfish import WIDTH, goldfish
from trainables.batching.rows import Encoded
from trainables.inputs.reference_log_probs import compute_reference, rows_digest
from trainables.methods.reduction import Size
from trainables.model.scoring import make_batch, score

ids = st.lists(st.integers(0, 5), min_size=2, max_size=60).map(tuple)
MODEL = tiny.llama(1, tie_word_embeddings=True).train(False)


@pytest.mark.parametrize(("k", "low", "high"), [(4, 0.247, 0.253), (8, 0.122, 0.128)])
def test_one_token_in_k_is_dropped(k: int, low: float, high: float) -> None:
    tokens = tuple(map(int, np.random.default_rng(0).integers(0, 32_000, 200_000)))
    (row,) = goldfish([Encoded(tokens, 1)], 1 / k)
    assert low < len(row.dropped) / (len(tokens) - WIDTH) < high


@given(ids, st.data())
def test_only_answer_tokens_after_a_whole_window_are_dropped_and_never_all(
    tokens: tuple[int, ...], draws: st.DataObject
) -> None:
    start = draws.draw(st.integers(0, len(tokens) - 1))
    (row,) = goldfish([Encoded(tokens, start)], 0.5)
    assert (row.input_ids, row.answer_start) == (tokens, start)
    assert all(i >= max(start, WIDTH - 1) for i in row.dropped)
    assert row.answer_tokens == len(row.counted) == len(row.targets) >= 1
    assert sorted({*row.counted, *row.dropped}) == list(range(max(start, 1), len(tokens)))


@given(ids, ids, ids)
def test_a_passage_loses_the_same_tokens_wherever_it_stands(
    passage: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    (alone,) = goldfish([Encoded(passage, 0)], 0.25)
    (within,) = goldfish([Encoded((*before, *passage, *after), 0)], 0.25)
    inside = range(len(before) + WIDTH - 1, len(before) + len(passage))
    found = {i - len(before) for i in within.dropped if i in inside}
    assert found - set(alone.dropped) <= {len(passage) - 1}  # a row never loses its only token
    assert set(alone.dropped) <= found


def test_share_0_is_no_mask_and_more_than_half_is_refused() -> None:
    row = Encoded(tuple(range(40)), 3)
    assert goldfish([row], 0.0) == (row,)
    with pytest.raises(ValueError, match="must be from 0"):
        goldfish([row], 0.6)


def masked_rows() -> tuple[Encoded, ...]:
    rows = goldfish([Encoded(row.input_ids, 2) for row in tiny.rows([30, 18, 26], 3)], 0.5)
    assert all(row.dropped for row in rows)
    return rows


def test_dropped_tokens_count_in_no_layout() -> None:
    rows = masked_rows()
    with torch.no_grad():
        whole = score(MODEL, make_batch([Encoded(row.input_ids, 1) for row in rows], 0, "cpu", "padded"))
        padded = score(MODEL, make_batch(rows, 0, "cpu", "padded"))
        packed = score(MODEL, make_batch(rows, 0, "cpu", "packed"))
    expected = [sum(float(whole.token_log_probs[i, t - 1]) for t in row.counted) for i, row in enumerate(rows)]
    for found in (padded, packed):
        assert found.sequence.tolist() == pytest.approx(expected, rel=1e-5)
        assert found.lengths.tolist() == [row.answer_tokens for row in rows]
    assert Size.of(rows).tokens == sum(row.answer_tokens for row in rows)


def test_a_reference_table_is_of_the_masked_rows() -> None:
    rows = masked_rows()
    batch = make_batch(rows, 0, "cpu", "padded")
    table = compute_reference(MODEL, rows, 0, 4096, "cpu")
    with torch.no_grad():
        model = score(MODEL, batch)
    aligned = table.scores(range(len(rows)), model.mask)
    torch.testing.assert_close(aligned.token_log_probs, model.token_log_probs)
    assert rows_digest(rows) != rows_digest([Encoded(row.input_ids, row.answer_start) for row in rows])
