"""Modules are replaced only if both compute the same: whole models of several architectures, values and gradients."""

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
    "qwen3": (Qwen3Config(**SHAPE), ALL - {"attention"}),  # has norms of queries and keys
    "mistral-window": (MistralConfig(**SHAPE, sliding_window=5), ALL),
    "gemma": (GemmaConfig(**SHAPE), {"attention", "layer"}),  # its norm adds one to the weight, and its gate differs
    "granite": (GraniteConfig(**SHAPE, residual_multiplier=0.5), ALL - {"layer"}),
}
ROWS = tiny.rows([(3, 6), (0, 4), (7, 1), (2, 13), (1, 14), (5, 1), (4, 16)])


def model(name: str) -> Any:
    made = tiny.model(CASES[name][0]).eval()
    for parameter in made.parameters():  # norms start as ones or zeros, which would hide errors
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
def test_patched_models_compute_the_same(name: str) -> None:
    plain = model(name)
    patched = copy.deepcopy(plain)
    assert patch_for_cpu(patched) == CASES[name][1]
    assert trims_last_layer(patched) == ("layer" in CASES[name][1])
    assert_same(results(plain, ROWS), results(patched, ROWS))
    assert_same(results(plain, ROWS, ForwardOutputs(layer=2)), results(patched, ROWS, ForwardOutputs(layer=2)))


def test_long_rows_use_the_models_own_attention() -> None:
    plain = model("llama")
    patched = copy.deepcopy(plain)
    patch_for_cpu(patched)
    rows = tiny.rows([(3, LONGEST_ROW + 6), (3, 9)])
    assert_same(results(plain, rows), results(patched, rows))


def test_a_copy_of_a_patched_model_uses_its_own_weights() -> None:
    first = model("llama")
    patch_for_cpu(first)
    second = copy.deepcopy(first)
    second.model.norm.weight.data.mul_(3)
    second.model.layers[1].mlp.down_proj.weight.data.mul_(-1)
    unpatch(expected := copy.deepcopy(second))
    assert not trims_last_layer(expected) and trims_last_layer(second)
    assert_same(results(expected, ROWS), results(second, ROWS))


def test_unpatching_leaves_nothing() -> None:
    patched = model("llama")
    patch_for_cpu(patched)
    assert any("forward" in module.__dict__ for module in patched.modules())
    unpatch(patched)
    assert not any("forward" in module.__dict__ for module in patched.modules())


def test_decoding_with_a_cache_is_unchanged() -> None:
    plain = model("llama")
    patched = copy.deepcopy(plain)
    patch_for_cpu(patched)
    ids = torch.tensor([[5, 9, 2]])
    texts = [each.generate(ids, max_new_tokens=12, do_sample=False).tolist() for each in (plain, patched)]
    assert texts[0] == texts[1]


def test_dropout_still_applies() -> None:
    patched = model("llama")
    patch_for_cpu(patched)
    before = results(patched, ROWS)
    for layer in patched.model.layers:
        layer.self_attn.attention_dropout = 0.9
    patched.train()
    assert not torch.allclose(results(patched, ROWS)["scores"], before["scores"])
