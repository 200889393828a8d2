"""Packed rows are scored as if each were alone: against right padding, for several architectures, and as gradients."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Gemma2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from tests import tiny
from trainables.batching.packing import Packing, group_by_length, pack, pad_to_bucket, rounded_up
from trainables.batching.rows import collate
from trainables.model.packed_attention import takes_packed
from trainables.model.scoring import ForwardOutputs, score

ARCHITECTURES = {
    "llama": LlamaConfig(**tiny.SHAPE),
    "qwen2": Qwen2Config(**tiny.SHAPE),
    "qwen3": Qwen3Config(**tiny.SHAPE),
    "mistral-window": MistralConfig(**tiny.SHAPE, sliding_window=5),
}
LENGTHS = st.lists(st.tuples(st.integers(0, 12), st.integers(2, 14)), min_size=1, max_size=12)


MODELS = {name: tiny.model(config).eval() for name, config in ARCHITECTURES.items()}


def same(packed: Tensor, padded: Tensor) -> None:
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
@given(lengths=LENGTHS)
@settings(max_examples=15)
def test_every_row_is_scored_as_if_alone(name: str, lengths: list[tuple[int, int]]) -> None:
    rows, keep = tiny.rows(lengths), ForwardOutputs(logits=True, layer=1)
    with torch.no_grad():
        packed, padded = score(MODELS[name], pack(rows, "cpu"), keep), score(MODELS[name], collate(rows, 0), keep)
    assert torch.equal(packed.lengths, padded.lengths)
    same(packed.sequence, padded.sequence)
    for one, other in ((packed.token_log_probs, padded.token_log_probs), (packed.logits, padded.logits)):
        assert one is not None and other is not None
        same(one[packed.mask], other[padded.mask])
    assert packed.hidden is not None and padded.hidden is not None
    same(packed.hidden[packed.mask], padded.hidden[padded.mask])
    assert packed.targets is not None and padded.targets is not None
    assert torch.equal(packed.targets[packed.mask], padded.targets[padded.mask])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_are_those_of_padded_rows(name: str) -> None:
    rows = tiny.rows([(3, 4), (0, 9), (7, 1), (2, 12), (5, 5), (4, 2)])
    found = []
    for batch in (pack(rows, "cpu"), collate(rows, 0)):
        MODELS[name].zero_grad()
        score(MODELS[name], batch).sequence.square().mean().backward()  # type: ignore[no-untyped-call]
        found.append(torch.cat([parameter.grad.flatten() for parameter in MODELS[name].parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4 * float(found[1].abs().max()))


@given(lengths=LENGTHS, cut=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=30)
def test_a_range_of_rows(lengths: list[tuple[int, int]], cut: tuple[float, float]) -> None:
    rows = tiny.rows(lengths)
    start = int(min(cut) * (len(rows) - 1))
    stop = max(start + 1, int(max(cut) * len(rows)))
    with torch.no_grad():
        whole = score(MODELS["llama"], pack(rows, "cpu"))
        part = score(MODELS["llama"], pack(rows, "cpu").rows(start, stop))
    same(part.token_log_probs, whole.rows(start, stop).token_log_probs)
    assert torch.equal(part.mask, whole.rows(start, stop).mask)


@given(lengths=LENGTHS)
@settings(max_examples=30)
def test_filling_up_changes_nothing(lengths: list[tuple[int, int]]) -> None:
    packed, filled = (pack(tiny.rows(lengths), "cpu", filled=filled) for filled in (False, True))
    assert filled.input_ids.shape[1] == pad_to_bucket(packed.input_ids.shape[1]) == sum(filled.packing.lengths)
    assert max(filled.packing.lengths) <= filled.packing.longest == packed.packing.longest
    with torch.no_grad():
        one, other = score(MODELS["llama"], filled), score(MODELS["llama"], packed)
    same(one.token_log_probs, other.token_log_probs)
    assert torch.equal(one.mask, other.mask)


@given(size=st.integers(1, 1_000_000))
def test_sizes_are_few_and_hardly_larger(size: int) -> None:
    found = rounded_up(size)
    assert size <= found <= size * 9 / 8
    assert rounded_up(found) == found


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_bounds_are_where_rows_lie(lengths: list[int]) -> None:
    packing = Packing.of(tuple(lengths), torch.device("cpu"))
    bounds = packing.bounds.tolist()
    assert [stop - start for start, stop in pairwise(bounds)][: len(lengths)] == lengths
    assert set(bounds[len(lengths) :]) == {sum(lengths)}
    assert packing.longest >= max(lengths)


@given(lengths=st.lists(st.integers(1, 300), max_size=60))
def test_groups_of_similar_length_have_every_row_once_and_little_padding(lengths: list[int]) -> None:
    groups = group_by_length(lengths)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert all(lengths[i] >= 0.8 * longest for i in group[4:])


def test_models_that_need_more_than_plain_attention_keep_padding() -> None:
    assert not takes_packed(tiny.model(Gemma2Config(**tiny.SHAPE)))
    assert takes_packed(MODELS["llama"])


def test_nothing_to_pack_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 rows cannot be packed"):
        pack([], "cpu")
