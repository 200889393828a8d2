"""Shares of a GPU, mostly without one: capacity, estimates and where weights stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from trainables.config import EvaluationConfig, LoraConfig, WorkersConfig
from trainables.methods import METHODS
from trainables.model.compile import should_compile
from trainables.model.gpu_share import (
    CUDA_CONTEXT,
    GIB,
    MemorySettings,
    estimate_memory,
    place_of_weights,
    share_of,
    usable_bytes,
)
from trainables.model.memory import USABLE, DecoderShape, evaluation_bytes, tokens_that_fit

LLAMA = DecoderShape(parameters=1_235_814_400, layers=16, hidden=2048, keys=1024, inner=8192, vocabulary=128_256)
CARD = 80 * GIB


def settings(*methods: str, lora: LoraConfig | None = None, **on: Any) -> MemorySettings:
    workers = WorkersConfig(gpus_per_worker=1, precision="bf16", **on)
    return MemorySettings(workers, EvaluationConfig(), [METHODS[name] for name in methods], lora)


@pytest.mark.parametrize(("gpus", "share"), [(0, 1), (0.25, 0.25), (1, 1), (2, 1)])
def test_a_workers_share_is_at_most_one_gpu(gpus: float, share: float) -> None:
    workers = WorkersConfig(gpus_per_worker=gpus)
    assert share_of(workers) == share
    assert usable_bytes(CARD, workers) == int(share * CARD) - CUDA_CONTEXT


def test_shares_and_contexts_fit_on_the_card_together() -> None:
    workers = WorkersConfig(gpus_per_worker=0.25)
    assert 4 * (usable_bytes(CARD, workers) + CUDA_CONTEXT) <= CARD
    assert usable_bytes(GIB, workers) == 0


def test_the_estimate_follows_from_what_methods_declare() -> None:
    weights, plain = 2 * LLAMA.parameters, estimate_memory(LLAMA, settings("npo_rt"), 8192)
    assert sum(plain.states.values()) == LLAMA.parameters * 16
    frozen = estimate_memory(LLAMA, settings("npo_rt", "npo_kl"), 8192)
    assert frozen.total - plain.total == weights
    two_gradients = estimate_memory(LLAMA, settings("ngdiff"), 8192)
    assert two_gradients.total - plain.total == 8 * LLAMA.parameters
    adapters = estimate_memory(LLAMA, settings("npo_rt", lora=LoraConfig(rank=8)), 8192)
    assert adapters.states["weights"] == pytest.approx(weights, rel=0.01)
    assert adapters.states["gradients"] + adapters.states["optimizer"] < 0.02 * weights * 7
    sharded = estimate_memory(LLAMA, settings("npo_rt", workers=4, deepspeed={"zero_optimization": {"stage": 3}}), 8192)
    assert sum(sharded.states.values()) == sum(plain.states.values()) // 4
    assert plain.total == sum(plain.states.values()) + max(plain.activations, plain.evaluation)
    whole = evaluation_bytes(LLAMA, 2, EvaluationConfig().batch_tokens)
    assert plain.evaluation == whole - plain.states["gradients"]  # which do not exist meanwhile
    small = estimate_memory(LLAMA, settings("npo_rt", memory="stochastic"), 8192)
    assert plain.total - small.total == LLAMA.parameters * 10 - LLAMA.parameters // 16


def test_a_probe_needs_room_for_a_second_engine_beside_the_trials() -> None:
    plain = estimate_memory(LLAMA, settings("npo_rt"), 8192)
    probed = estimate_memory(LLAMA, replace(settings("npo_rt"), probe=True), 8192)
    assert probed.states == plain.states
    second = sum(plain.states.values()) + plain.activations
    assert probed.total - sum(plain.states.values()) == second - plain.states["gradients"]  # its own are freed
    lora = replace(settings("npo_rt", lora=LoraConfig(rank=8)), probe=True)
    assert estimate_memory(LLAMA, lora, 8192).total < 0.5 * probed.total


def test_layers_are_compiled_on_gpus_unless_their_weights_are_sharded() -> None:
    def compiled(on_gpu: bool, **on: Any) -> bool:
        return replace(settings("npo_rt", **on), on_gpu=on_gpu).compiled

    for on_gpu in (False, True):
        for setting in ("auto", "on", "off"):
            for stage in (0, 3):
                on = {"compile": setting, "deepspeed": {"zero_optimization": {"stage": stage}}}
                expected = should_compile(setting, "cuda" if on_gpu else "cpu", stage == 3, packed=True)
                assert compiled(on_gpu, **on) == expected


def test_weights_stay_on_the_device_only_if_useful_micro_batches_still_fit() -> None:
    def place(space: int, *methods: str) -> str:
        return place_of_weights(LLAMA, settings(*methods), on_gpu=True, space=space)

    need = estimate_memory(LLAMA, settings("npo_rt"), 8192, kept=True)
    enough = sum(need.states.values()) + int(max(need.activations, need.evaluation) / USABLE) + 1
    assert place(enough, "npo_rt") == "device"
    assert place(enough - 100, "npo_rt") == "pinned"
    assert place(enough // 2, "npo_kl") == "device"  # the method needs them there anyway
    assert place_of_weights(LLAMA, settings("npo_rt"), on_gpu=False, space=0) == "host"


def test_weights_kept_on_the_device_leave_fewer_tokens() -> None:
    need, kept = (estimate_memory(LLAMA, settings("npo_rt"), 8192, kept=kept) for kept in (False, True))
    space = usable_bytes(CARD, WorkersConfig(gpus_per_worker=0.5))
    tokens, fewer = (tokens_that_fit(LLAMA, space - sum(each.states.values()), 2) for each in (need, kept))
    assert 0 < fewer < tokens


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_process_is_capped_at_its_share() -> None:
    from trainables.model.gpu_share import cap_process_memory

    workers = WorkersConfig(gpus_per_worker=0.25)
    total = torch.cuda.get_device_properties(0).total_memory
    cap_process_memory(workers, "cuda:0")
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(usable_bytes(total, workers) + GIB, dtype=torch.uint8, device="cuda:0")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, "cuda:0")
