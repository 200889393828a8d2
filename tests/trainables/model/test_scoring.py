"""Packed rows are scored as if each were alone: against padded rows, for several architectures, and as gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from tests import tiny
from trainables.batching.packing import pack, pad_to_bucket
from trainables.batching.rows import collate
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
def test_packed_rows_are_scored_like_padded_rows(name: str, lengths: list[tuple[int, int]]) -> None:
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
def test_packed_rows_have_the_gradients_of_padded_rows(name: str) -> None:
    rows = tiny.rows([(3, 4), (0, 9), (7, 1), (2, 12), (5, 5), (4, 2)])
    found = []
    for batch in (pack(rows, "cpu"), collate(rows, 0)):
        MODELS[name].zero_grad()
        score(MODELS[name], batch).sequence.square().mean().backward()  # type: ignore[no-untyped-call]
        found.append(torch.cat([parameter.grad.flatten() for parameter in MODELS[name].parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4 * float(found[1].abs().max()))


@given(lengths=LENGTHS, cut=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=30)
def test_a_range_of_rows_is_scored_alike(lengths: list[tuple[int, int]], cut: tuple[float, float]) -> None:
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
