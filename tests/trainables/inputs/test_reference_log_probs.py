"""The reference table: the right values in the right order, and a cache that can be trusted."""

from __future__ import annotations

import itertools
import math
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tests import tiny
from trainables.batching.rows import Encoded, collate
from trainables.inputs.reference_log_probs import (
    ReferenceKey,
    ReferenceTable,
    compute_reference,
    load_or_compute,
    rows_digest,
    token_batches,
)
from trainables.model.scoring import score

KEY = ReferenceKey(model="m", rows="r", template="plain", tokenizer="t", dtype="fp32")
LOG_PROBS, LENGTHS = torch.tensor([-1.5, -20.25, -3.0]), torch.tensor([2, 0, 1])
TABLE = ReferenceTable(LOG_PROBS, LENGTHS)
PAD = 0


ROWS = tiny.rows([(1, 4), (2, 10), (1, 2), (4, 5), (5, 7), (2, 2), (1, 6)], 1)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.llama(attention_dropout=0.5, initializer_range=0.5)


def direct(model: Any, row: Encoded) -> float:
    """log p(y|x) of one row, alone and unpadded, token by token."""
    model.train(False)
    with torch.no_grad():
        log_probs: Tensor = model(torch.tensor([row.input_ids])).logits[0].double().log_softmax(-1)
    return math.fsum(log_probs[t - 1, row.input_ids[t]].item() for t in range(row.answer_start, len(row.input_ids)))


@pytest.mark.parametrize("batch_tokens", [1, 24, 10_000])
def test_table_holds_each_rows_log_prob_in_the_given_order(model: Any, batch_tokens: int) -> None:
    model.train()
    table = compute_reference(model, ROWS, PAD, batch_tokens, "cpu")
    assert model.training  # left as it was found, though dropout was off
    assert table.log_probs.dtype == torch.float32
    assert not table.log_probs.requires_grad
    expected = torch.tensor([direct(model, row) for row in ROWS])
    torch.testing.assert_close(table.sequence, expected, rtol=1e-5, atol=1e-5)


def test_scores_of_the_table_are_aligned_with_the_models_own(model: Any) -> None:
    table = compute_reference(model, ROWS, PAD, 10_000, "cpu")
    chosen = [4, 0, 2]
    model.train(False)
    own = score(model, collate([ROWS[i] for i in chosen], PAD))
    found = table.scores(chosen, own.mask)
    torch.testing.assert_close(found.token_log_probs, own.token_log_probs.detach(), rtol=1e-5, atol=1e-5)
    assert table.scores([], own.mask[:0]).token_log_probs.shape == (0, own.mask.shape[1])
    with pytest.raises(ValueError, match="one for each answer token"):
        table.scores([0, 4, 1], own.mask)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200))
def test_token_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(lengths, reverse=True)
    # No batch could have taken the next row too.
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * lengths[batch[0]] > budget or not following


class Compute:
    """Counts its calls."""

    def __init__(self, log_probs: Tensor = LOG_PROBS) -> None:
        self.table, self.calls = ReferenceTable(log_probs, LENGTHS), 0

    def __call__(self) -> ReferenceTable:
        self.calls += 1
        return self.table


def same(table: ReferenceTable, log_probs: Tensor = LOG_PROBS) -> bool:
    return torch.equal(table.log_probs, log_probs) and torch.equal(table.lengths, LENGTHS)


def only_file(cache: Path) -> Path:
    (path,) = cache.iterdir()  # nothing temporary is left
    return path


def test_the_second_call_reads_what_the_first_wrote(tmp_path: Path) -> None:
    compute = Compute()
    for _ in range(2):
        assert same(load_or_compute(tmp_path / "new" / "cache", KEY, compute))
    assert compute.calls == 1
    with safe_open(only_file(tmp_path / "new" / "cache"), framework="pt") as file:
        assert ReferenceKey.model_validate_json(file.metadata()["key"]) == KEY


@pytest.mark.parametrize("field", list(ReferenceKey.model_fields))
def test_any_other_key_is_computed(tmp_path: Path, field: str) -> None:
    load_or_compute(tmp_path, KEY, Compute())
    value = 99 if field in {"code_version", "hidden"} else "other"
    other = Compute(LOG_PROBS * 2)
    table = load_or_compute(tmp_path, KEY.model_copy(update={field: value}), other)
    assert other.calls == 1
    assert same(table, LOG_PROBS * 2)
    assert same(load_or_compute(tmp_path, KEY, Compute(LOG_PROBS * 3)))


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[:-3])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "altered":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif kind == "no metadata":
        save_file({"log_probs": LOG_PROBS, "lengths": LENGTHS}, path)
    elif kind == "other name":
        save_file({"other": LOG_PROBS}, path)
    elif kind == "other type":
        save_file({"log_probs": LOG_PROBS.bfloat16(), "lengths": LENGTHS}, path)
    elif kind == "other key":  # as if renamed by hand
        load_or_compute(path.parent, KEY.model_copy(update={"rows": "x"}), Compute())
        next(other for other in path.parent.iterdir() if other != path).replace(path)


@pytest.mark.parametrize(
    "kind", ["truncated", "empty", "altered", "no metadata", "other name", "other type", "other key"]
)
def test_a_file_that_cannot_be_trusted_is_replaced(tmp_path: Path, kind: str) -> None:
    load_or_compute(tmp_path, KEY, Compute())
    damage(only_file(tmp_path), kind)
    compute = Compute(LOG_PROBS + 1)
    for _ in range(2):
        assert same(load_or_compute(tmp_path, KEY, compute), LOG_PROBS + 1)
    assert compute.calls == 1
    assert only_file(tmp_path).is_file()


def test_concurrent_writers_are_harmless(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)
    tables: list[ReferenceTable] = []

    def compute() -> ReferenceTable:
        barrier.wait(timeout=30)  # all four have found no file
        return TABLE

    threads = [
        threading.Thread(target=lambda: tables.append(load_or_compute(tmp_path, KEY, compute))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(table) for table in tables)
    assert len(tables) == 4
    again = Compute()
    assert same(load_or_compute(tmp_path, KEY, again))
    assert again.calls == 0
    only_file(tmp_path)


def test_a_table_that_makes_no_sense_is_refused_and_not_kept(tmp_path: Path) -> None:
    broken = ReferenceTable(torch.tensor([1.0, float("nan"), -float("inf")]), LENGTHS)
    with pytest.raises(ValueError, match="2 of 3"):
        load_or_compute(tmp_path, KEY, lambda: broken)
    assert list(tmp_path.iterdir()) == []


def test_rows_digest_sees_order_tokens_and_where_the_answer_starts() -> None:
    variants = [ROWS, ROWS[::-1], ROWS[:-1], [Encoded(ROWS[0].input_ids, 3), *ROWS[1:]], []]
    assert len({rows_digest(rows) for rows in variants}) == len(variants)
    assert rows_digest(ROWS) == rows_digest(list(ROWS))
