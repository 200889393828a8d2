"""Packed attention and compiled layers as on GPUs, with the kernel's operator implemented on the CPU."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.nn.functional import scaled_dot_product_attention
from transformers import Gemma2Config, LlamaConfig, MistralConfig

from tests import tiny
from tests.tiny import rows
from tests.trainables.model import varlen_on_cpu
from trainables.batching.packing import Packed, pack
from trainables.batching.rows import collate
from trainables.config import LoraConfig
from trainables.model import packed_attention
from trainables.model.compile import ANY_SIZE, compile_layers
from trainables.model.lora import add_adapters
from trainables.model.packed_attention import takes_packed
from trainables.model.scoring import score

SHAPE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "head_dim": 8}
ARCHITECTURES = {
    "llama": LlamaConfig(**tiny.SHAPE | SHAPE),
    "mistral-window": MistralConfig(**tiny.SHAPE | SHAPE, sliding_window=5),
}
LENGTHS = [(3, 4), (1, 9), (7, 1), (2, 12), (5, 5), (4, 2), (1, 1), (0, 3)]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    varlen_on_cpu.register()
    monkeypatch.setattr("trainables.batching.packing.has_kernel", lambda device: True)
    monkeypatch.setattr(packed_attention, "_HALF", (torch.bfloat16, torch.float32))
    monkeypatch.setattr(packed_attention, "_by_rectangles", None)  # so that it cannot be used


def gradients(trained: Any, batch: Any) -> Tensor:
    trained.zero_grad()
    score(trained, batch).sequence.square().mean().backward()  # type: ignore[no-untyped-call]
    found = [parameter.grad.flatten() for parameter in trained.parameters() if parameter.grad is not None]
    return torch.cat(found)


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.usefixtures("kernel")
def test_the_kernel_gets_valid_arguments_and_gives_the_results_of_padded_rows(name: str, filled: bool) -> None:
    trained, encoded = tiny.model(ARCHITECTURES[name]), rows(LENGTHS)
    assert takes_packed(trained)
    packed, padded = pack(encoded, "cpu", filled), collate(encoded, 0)
    with torch.no_grad():
        torch.testing.assert_close(
            score(trained, packed).sequence, score(trained, padded).sequence, rtol=1e-5, atol=1e-5
        )
    expected = gradients(trained, padded)
    torch.testing.assert_close(gradients(trained, packed), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_one_token_reads_shared_keys_without_repeating_them(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, n, 8, generator=generator) for heads, n in ((6, 1), (2, 5), (2, 5)))
    wide, wide_values = (each.repeat_interleave(3, 1) for each in (key, value))
    seen = scaled_dot_product_attention(query, wide, wide_values, mask[:, None, None], scale=0.3)
    monkeypatch.setattr(packed_attention, "sdpa_attention_forward", None)  # which may repeat them
    found, _ = packed_attention.attention(torch.nn.Module(), query, key, value, mask[:, None, None], scaling=0.3)
    torch.testing.assert_close(found, seen.transpose(1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("kernel")
def test_half_precision_stays_half_throughout() -> None:
    found = gradients(tiny.llama(**SHAPE).to(torch.bfloat16), pack(rows(LENGTHS), "cpu", filled=True))
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


def batches(count: int) -> list[Packed]:
    """As in an epoch on TOFU: 64 rows of similar lengths per step, 32 in the last."""
    lengths = random.Random(0)

    def row() -> tuple[int, int]:
        return 30 + max(8, int(lengths.gauss(21, 5))), max(10, int(lengths.gauss(52, 20)))

    sizes = [32 if i % 13 == 12 else 64 for i in range(count)]
    return [pack(rows([row() for _ in range(size)]), "cpu", filled=True) for size in sizes]


@pytest.mark.parametrize("adapters", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.usefixtures("kernel")
def test_a_layer_is_one_graph_and_few_sizes_are_compiled(adapters: bool) -> None:
    torch._dynamo.reset()
    counters.clear()
    trained = tiny.llama(**SHAPE | {"num_hidden_layers": 2})
    if adapters:
        add_adapters(trained, LoraConfig(rank=2), seed=0)
    compile_layers(trained, backend="aot_eager")
    plain = batches(1)[0]
    kinds = 2 if adapters else 1  # with frozen embeddings the first layer's input needs no gradient
    seen = set()
    for batch in batches(2 if adapters else 14):
        gradients(trained, batch)
        seen.add((batch.input_ids.shape[1], len(batch.packing.bounds), batch.packing.longest))
        assert counters["stats"]["unique_graphs"] == kinds * len(seen)
    assert not counters["graph_break"]
    assert len(seen) <= 8
    with torch.compiler.set_stance("force_eager"):
        expected = gradients(trained, plain)
    torch.testing.assert_close(gradients(trained, plain), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.usefixtures("kernel")
def test_a_layer_can_be_compiled_once_for_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ANY_SIZE, "1")
    torch._dynamo.reset()
    counters.clear()
    trained = tiny.llama(**SHAPE | {"num_hidden_layers": 2})
    compile_layers(trained, backend="aot_eager")
    some = batches(5)
    for batch in some:
        compiled = gradients(trained, batch)
        with torch.compiler.set_stance("force_eager"):
            expected = gradients(trained, batch)
        torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert len({batch.input_ids.shape[1] for batch in some}) > 1
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def test_models_without_plain_attention_do_not_take_packed_rows() -> None:
    assert not takes_packed(tiny.model(Gemma2Config(**tiny.SHAPE)))
    assert takes_packed(tiny.model(ARCHITECTURES["llama"]))


@pytest.mark.parametrize("argument", ["softcap", "s_aux"])
def test_what_the_kernels_do_not_know_is_refused(argument: str) -> None:
    states = torch.ones((1, 2, 3, 8))
    packing = pack(rows([(1, 3)]), "cpu").packing
    unknown: dict[str, Any] = {argument: 1.0}
    with pytest.raises(ValueError, match=f"{argument} must be None"):
        packed_attention.attention(torch.nn.Identity(), states, states, states, None, packing=packing, **unknown)
