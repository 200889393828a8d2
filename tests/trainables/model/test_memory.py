"""Memory estimates against what autograd keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, PretrainedConfig

from tests import tiny
from tests.trainables.model import family_models, varlen_on_cpu
from trainables.batching.packing import pack
from trainables.batching.rows import Encoded
from trainables.config import LoraConfig, TinySize
from trainables.model.compile import compile_layers
from trainables.model.families import why_unknown_memory
from trainables.model.load import tiny_model, tiny_tokenizer
from trainables.model.lora import add_adapters
from trainables.model.memory import (
    LEAST_TOKENS,
    RECIPES,
    USABLE,
    DecoderShape,
    MemoryEstimate,
    Recipe,
    activation_bytes,
    adapter_parameters,
    state_bytes,
    tokens_that_fit,
    update_bytes,
)
from trainables.model.presets import SMOLLM2, tiny_config
from trainables.model.scoring import score

SIZES: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
ARCHITECTURES = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=4),
    "llama-grouped": LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    **{
        name: family_models.config(name, **SIZES, head_dim=16)
        for name in family_models.CASES
        if why_unknown_memory(family_models.config(name).to_dict()) is None
    },
    "qwen3-wide": family_models.config("qwen3", **SIZES, head_dim=32),  # queries wider than hidden states
}
PROMPT, ANSWER, ROWS = 12, 20, 40


def kept_bytes(config: PretrainedConfig, dtype: torch.dtype, compiled: bool = False) -> tuple[int, DecoderShape]:
    """Bytes of all tensors, except weights, that one packed forward pass keeps for the backward pass."""
    model = tiny.model(config).to(dtype)
    if compiled:
        compile_layers(model, backend="aot_eager_decomp_partition")  # the partitioner of compiled code, without code
    rows = [Encoded(tuple(range(1, 1 + PROMPT + ANSWER)), PROMPT)] * ROWS
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        total = score(model, pack(rows, "cpu")).sequence.sum()
    assert total.requires_grad
    return sum(kept.values()), DecoderShape.of(config, sum(parameter.numel() for parameter in model.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_activations_match_what_autograd_keeps(name: str, dtype: torch.dtype) -> None:
    kept, shape = kept_bytes(ARCHITECTURES[name], dtype)
    tokens, answers = ROWS * (PROMPT + ANSWER - 1), ROWS * ANSWER
    gradient = answers * shape.vocabulary * dtype.itemsize  # made in the backward pass, before anything is freed
    assert activation_bytes(shape, tokens, answers, dtype.itemsize) == pytest.approx(kept + gradient, rel=0.15)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_activations_of_compiled_layers_match_what_the_compiler_keeps(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    varlen_on_cpu.register()  # attention is one operator, as on GPUs
    monkeypatch.setattr("trainables.batching.packing.has_kernel", lambda device: True)
    torch._dynamo.reset()
    kept, shape = kept_bytes(ARCHITECTURES[name], torch.bfloat16, compiled=True)
    tokens, answers = ROWS * (PROMPT + ANSWER - 1), ROWS * ANSWER
    gradient = answers * shape.vocabulary * 2
    assert activation_bytes(shape, tokens, answers, 2, compiled=True) == pytest.approx(kept + gradient, rel=0.15)


def test_layers_that_run_again_keep_their_input_and_one_layers_rest() -> None:
    shape = DecoderShape(parameters=0, layers=32, hidden=4096, keys=2048, inner=14_336, vocabulary=128_256)
    one = DecoderShape(parameters=0, layers=1, hidden=4096, keys=2048, inner=14_336, vocabulary=128_256)
    for compiled in (False, True):
        again = activation_bytes(shape, 1000, 0, 2, compiled, recompute=True)
        assert again == 1000 * 32 * 4096 * 2 + activation_bytes(one, 1000, 0, 2, compiled)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_shape_from_a_configuration_file_equals_the_models(name: str) -> None:
    """From a whole file, and from one without the family's defaults, as publishers have them."""
    config = ARCHITECTURES[name]
    parameters = sum(parameter.numel() for parameter in tiny.model(config).parameters())
    for content in (config.to_dict(), {**config.to_diff_dict(), "model_type": config.model_type}):
        found = DecoderShape.of_file(content)
        assert found.parameters == pytest.approx(parameters, rel=0.01)  # Qwen's biases are left out
        assert replace(found, parameters=parameters) == DecoderShape.of(config, parameters)


@pytest.mark.parametrize("name", sorted({*family_models.CASES} - {*ARCHITECTURES}))
def test_a_family_that_it_is_wrong_for_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"memory of a mixture of experts|not counted as a Llama's"):
        DecoderShape.of_file(family_models.config(name).to_dict())


@pytest.mark.parametrize("size", [TinySize(), TinySize(vocabulary=300, hidden=48, layers=2, heads=3)])
def test_sizes_of_tiny_are_those_of_the_models(size: TinySize) -> None:
    tokenizer = tiny_tokenizer([" ".join(f"word{i} of many" for i in range(200))], size)
    made = tiny_model(tokenizer, seed=0, size=size)
    shape = DecoderShape.of(made.config, sum(parameter.numel() for parameter in made.parameters()))
    assert DecoderShape.of_file({**tiny_config(size), "vocab_size": shape.vocabulary}) == shape
    assert shape.vocabulary == len(tokenizer) <= size.vocabulary


def test_the_size_of_smollm2_is_the_published_one() -> None:
    assert DecoderShape.of_file(SMOLLM2).parameters == 134_515_008  # published number


def test_adapter_parameters_are_counted() -> None:
    model = tiny.model(ARCHITECTURES["llama-grouped"])
    shape = DecoderShape.of(model.config, sum(parameter.numel() for parameter in model.parameters()))
    add_adapters(model, LoraConfig(rank=4), seed=0)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert adapter_parameters(shape, 4) == trained
    states = state_bytes(shape, 4, 0, 1, frozen=False, trained=trained)
    assert states["optimizer"] == 8 * trained and states["weights"] == 4 * (shape.parameters + trained)


def test_states_follow_precision_and_zero_stage() -> None:
    shape = DecoderShape(parameters=1000, layers=1, hidden=1, keys=1, inner=1, vocabulary=1)
    alone = state_bytes(shape, 4, 0, 1, frozen=False)
    assert dict(alone) == {"weights": 4000, "gradients": 4000, "optimizer": 8000, "frozen": 0}
    half = state_bytes(shape, 2, 0, 1, frozen=True)
    assert sum(half.values()) == 1000 * (2 + 2 + 12 + 2)
    totals = [sum(state_bytes(shape, 2, stage, 4, frozen=False).values()) for stage in range(4)]
    assert totals == sorted(totals, reverse=True)
    assert totals[3] * 4 == totals[0]


def test_recipes_need_fewer_and_fewer_bytes_where_nothing_is_sharded() -> None:
    shape = DecoderShape(parameters=128_000, layers=1, hidden=1, keys=1, inner=1, vocabulary=1)

    def per_parameter(recipe: Recipe, stage: int = 0) -> float:
        return sum(state_bytes(shape, 2, stage, 1, frozen=False, recipe=recipe).values()) / shape.parameters

    found = {name: per_parameter(recipe) for name, recipe in RECIPES.items()}
    assert found == pytest.approx(
        {"exact": 16, "moments8": 10.0625, "remainder": 8.0625, "stochastic": 6.0625, "recompute": 6.0625}
    )
    assert found == {name: recipe.parameter_bytes for name, recipe in RECIPES.items()}
    assert {per_parameter(recipe, stage=1) for recipe in RECIPES.values()} == {16}


def test_an_optimizer_step_needs_memory_after_the_activations_not_beside_them() -> None:
    """DeepSpeed's sharded step copies gradients to float32; ours has temporaries of one size, or none if compiled."""
    shape = DecoderShape(parameters=10**9, layers=16, hidden=2048, keys=1024, inner=8192, vocabulary=128_256)
    stages = [update_bytes(shape, 10**9, 2, stage, 4, compiled=True) for stage in (0, 1, 2)]
    assert stages == [0, 6 * 10**9 // 4, 6 * 10**9 // 4]
    assert update_bytes(shape, 10**9, 4, 0, 1, compiled=False) == 0
    assert update_bytes(shape, 10**9, 2, 0, 1, compiled=False) == update_bytes(shape, 10**8, 2, 0, 1, compiled=False)
    tiny_shape = DecoderShape(parameters=10**6, layers=4, hidden=128, keys=256, inner=384, vocabulary=2048)
    assert update_bytes(tiny_shape, 10**6, 2, 0, 1, compiled=False) < 20 * 10**6
    for activations, update, total in ((5, 3, 25), (3, 7, 27)):
        assert MemoryEstimate({"weights": 20}, activations, 1, update).total == total


def test_the_most_tokens_that_fit_are_used() -> None:
    shape = DecoderShape(parameters=0, layers=16, hidden=2048, keys=1024, inner=8192, vocabulary=128_256)
    free = 40 * 2**30
    tokens = tokens_that_fit(shape, free, 2)
    assert (
        activation_bytes(shape, tokens, tokens, 2) <= USABLE * free < activation_bytes(shape, tokens + 1, tokens + 1, 2)
    )
    assert tokens_that_fit(shape, 0, 2) == LEAST_TOKENS
