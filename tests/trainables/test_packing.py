"""Packed rows are scored as if each were alone: against right padding, for several architectures, and as gradients."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from trainables.attention import takes_packed, use_packed_attention
from trainables.packing import Packing, filled_up, pack, rounded_up, similar
from trainables.scores import Encoded, Keep, collate, score

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "initializer_range": 0.4,
}
ARCHITECTURES = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES),
    "mistral-window": MistralConfig(**SIZES, sliding_window=5),
}
LENGTHS = st.lists(st.tuples(st.integers(0, 12), st.integers(2, 14)), min_size=1, max_size=12)


def model(config: PretrainedConfig) -> Any:
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]
    use_packed_attention(made)
    return made


MODELS = {name: model(config) for name, config in ARCHITECTURES.items()}


def rows_of(lengths: list[tuple[int, int]]) -> list[Encoded]:
    generator = torch.Generator().manual_seed(3)
    return [
        Encoded(tuple(torch.randint(1, 40, (prompt + answer,), generator=generator).tolist()), prompt)
        for prompt, answer in lengths
    ]


def same(packed: Tensor, padded: Tensor) -> None:
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-5)


def answers_of(values: Tensor, mask: Tensor) -> Tensor:
    """(answer tokens, …), row after row, wherever they are in their rows."""
    return values[mask]


@pytest.mark.parametrize("name", ARCHITECTURES)
@given(lengths=LENGTHS)
@settings(max_examples=15)
def test_every_row_is_scored_as_if_alone(name: str, lengths: list[tuple[int, int]]) -> None:
    rows, keep = rows_of(lengths), Keep(logits=True, layer=1)
    with torch.no_grad():
        packed, padded = score(MODELS[name], pack(rows, "cpu"), keep), score(MODELS[name], collate(rows, 0), keep)
    assert torch.equal(packed.lengths, padded.lengths)
    same(packed.sequence, padded.sequence)
    for one, other in ((packed.token_log_probs, padded.token_log_probs), (packed.logits, padded.logits)):
        assert one is not None and other is not None
        same(answers_of(one, packed.mask), answers_of(other, padded.mask))
    assert packed.hidden is not None and padded.hidden is not None
    same(answers_of(packed.hidden, packed.mask), answers_of(padded.hidden, padded.mask))
    assert packed.targets is not None and padded.targets is not None
    assert torch.equal(answers_of(packed.targets, packed.mask), answers_of(padded.targets, padded.mask))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_are_those_of_padded_rows(name: str) -> None:
    rows = rows_of([(3, 4), (0, 9), (7, 1), (2, 12), (5, 5), (4, 2)])
    found = []
    for batch in (pack(rows, "cpu"), collate(rows, 0)):
        MODELS[name].zero_grad()
        score(MODELS[name], batch).sequence.square().mean().backward()  # type: ignore[no-untyped-call]
        found.append(torch.cat([parameter.grad.flatten() for parameter in MODELS[name].parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4 * float(found[1].abs().max()))


@given(lengths=LENGTHS, cut=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=30)
def test_a_range_of_rows(lengths: list[tuple[int, int]], cut: tuple[float, float]) -> None:
    rows = rows_of(lengths)
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
    packed, filled = (pack(rows_of(lengths), "cpu", filled=filled) for filled in (False, True))
    assert filled.input_ids.shape[1] == filled_up(packed.input_ids.shape[1]) == sum(filled.packing.lengths)
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


def test_sizes_an_octave() -> None:
    assert len({rounded_up(size) for size in range(4096, 8192)}) == 9  # the last one is 8192
    assert len({filled_up(size) for size in range(4096, 8192)}) == 17


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_bounds_are_where_rows_lie(lengths: list[int]) -> None:
    packing = Packing.of(tuple(lengths), torch.device("cpu"))
    bounds = packing.bounds.tolist()
    assert [stop - start for start, stop in pairwise(bounds)][: len(lengths)] == lengths
    assert set(bounds[len(lengths) :]) == {sum(lengths)}
    assert packing.longest >= max(lengths)


@given(lengths=st.lists(st.integers(1, 300), max_size=60))
def test_groups_of_similar_length_have_every_row_once_and_little_padding(lengths: list[int]) -> None:
    groups = similar(lengths)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert all(lengths[i] >= 0.8 * longest for i in group[4:])


def test_the_tokens_that_attention_sees_are_the_rows() -> None:
    """Another row's tokens change nothing, wherever they lie."""
    rows = rows_of([(3, 4), (2, 6), (4, 4)])
    other = Encoded(tuple(reversed(rows[0].input_ids)), rows[0].answer_start)
    with torch.no_grad():
        one = score(MODELS["mistral-window"], pack(rows, "cpu")).rows(1, 3)
        two = score(MODELS["mistral-window"], pack([other, *rows[1:]], "cpu")).rows(1, 3)
    assert torch.equal(one.token_log_probs, two.token_log_probs)


def test_models_that_need_more_than_plain_attention_keep_padding() -> None:
    capped = AutoModelForCausalLM.from_config(Gemma2Config(**SIZES))  # type: ignore[no-untyped-call]
    assert not use_packed_attention(capped)
    assert not takes_packed(capped)
    assert takes_packed(MODELS["llama"])


def test_nothing_to_pack_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 rows cannot be packed"):
        pack([], "cpu")
