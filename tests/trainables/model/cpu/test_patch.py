"""Lean forms stand only where they compute the same: whole models of several architectures, values and gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GemmaConfig, GraniteConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from tests import tiny
from trainables.batching.packing import pack
from trainables.batching.rows import Encoded
from trainables.model.cpu.attention import LONGEST_ROW
from trainables.model.cpu.patch import patch_for_cpu, trims_last_layer, unpatch
from trainables.model.scoring import ForwardOutputs, score

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU layers are compiled instead")

SHAPE = {**tiny.SHAPE, "max_position_embeddings": 2 * LONGEST_ROW}
ALL = {"norm", "gate", "attention", "layer"}
CASES = {
    "llama": (LlamaConfig(**SHAPE), ALL),
    "qwen2": (Qwen2Config(**SHAPE), ALL),
    "qwen3": (Qwen3Config(**SHAPE), ALL - {"attention"}),  # norms of queries and keys
    "mistral-window": (MistralConfig(**SHAPE, sliding_window=5), ALL),
    "gemma": (GemmaConfig(**SHAPE), {"attention", "layer"}),  # a norm that adds one, another gate
    "granite": (GraniteConfig(**SHAPE, residual_multiplier=0.5), ALL - {"layer"}),
}
ROWS = tiny.rows([(3, 6), (0, 4), (7, 1), (2, 13), (1, 14), (5, 1), (4, 16)])


def model(name: str) -> Any:
    made = tiny.model(CASES[name][0]).eval()
    for parameter in made.parameters():  # norms begin as ones, or zeros, which would hide what they do to weights
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    return made


def results(model: Any, rows: list[Encoded], keep: ForwardOutputs = ForwardOutputs()) -> dict[str, Tensor]:  # noqa: B008 (frozen)
    model.zero_grad()
    scores = score(model, pack(rows, "cpu"), keep)
    total: Any = (scores.token_log_probs * torch.arange(1, 1 + scores.mask.shape[1])).sum()
    total.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    hidden = {} if scores.hidden is None else {"hidden": scores.hidden.detach()}
    return {"scores": scores.token_log_probs.detach(), **hidden, **found}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, expected in one.items():
        assert float((other[name] - expected).norm()) <= 1e-5 * float(expected.norm()) + 1e-6, name


@pytest.mark.parametrize("name", CASES)
def test_models_compute_the_same(name: str) -> None:
    plain = model(name)
    lean = copy.deepcopy(plain)
    assert patch_for_cpu(lean) == CASES[name][1]
    assert trims_last_layer(lean) == ("layer" in CASES[name][1])
    assert_same(results(plain, ROWS), results(lean, ROWS))
    assert_same(results(plain, ROWS, ForwardOutputs(layer=2)), results(lean, ROWS, ForwardOutputs(layer=2)))


def test_long_rows_go_the_models_own_way() -> None:
    plain = model("llama")
    lean = copy.deepcopy(plain)
    patch_for_cpu(lean)
    rows = tiny.rows([(3, LONGEST_ROW + 6), (3, 9)])
    assert_same(results(plain, rows), results(lean, rows))


def test_a_copy_is_lean_with_weights_of_its_own() -> None:
    first = model("llama")
    patch_for_cpu(first)
    second = copy.deepcopy(first)
    second.model.norm.weight.data.mul_(3)
    second.model.layers[1].mlp.down_proj.weight.data.mul_(-1)
    unpatch(expected := copy.deepcopy(second))
    assert not trims_last_layer(expected) and trims_last_layer(second)
    assert_same(results(expected, ROWS), results(second, ROWS))


def test_nothing_is_left_once_it_is_plain_again() -> None:
    lean = model("llama")
    patch_for_cpu(lean)
    assert any("forward" in module.__dict__ for module in lean.modules())
    unpatch(lean)
    assert not any("forward" in module.__dict__ for module in lean.modules())


def test_decoding_with_a_cache_is_untouched() -> None:
    plain = model("llama")
    lean = copy.deepcopy(plain)
    patch_for_cpu(lean)
    ids = torch.tensor([[5, 9, 2]])
    texts = [each.generate(ids, max_new_tokens=12, do_sample=False).tolist() for each in (plain, lean)]
    assert texts[0] == texts[1]


def test_dropout_stays_where_it_was() -> None:
    lean = model("llama")
    patch_for_cpu(lean)
    before = results(lean, ROWS)
    for layer in lean.model.layers:
        layer.self_attn.attention_dropout = 0.9
    lean.train()
    assert not torch.allclose(results(lean, ROWS)["scores"], before["scores"])
