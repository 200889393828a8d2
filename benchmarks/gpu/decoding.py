"""Decoding and evaluating a model of random weights, which writes as long as it may."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.evaluation_ways.plain import NEW_TOKENS, Plain
from benchmarks.evaluation_ways.subjects import TEMPLATE
from benchmarks.gpu.run import Settings
from benchmarks.gpu.timing import dtype_of, finish
from benchmarks.steps.shapes import random_model
from trainables.config import BenchmarkConfig, EvaluationConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.decoding.cuda_graphs import CudaRecorder
from trainables.evaluation.decoding.static import decode_static
from trainables.evaluation.decoding.static_cache_pool import StaticCachePool
from trainables.evaluation.evaluate import evaluate
from trainables.model.load import texts_of, tiny_tokenizer
from trainables.runtime.ranks import Group

NEVER = -1


def _model(settings: Settings) -> Any:
    return random_model(
        "toy" if settings.tiny else "llama-1b", torch.device(settings.device), dtype_of(settings)
    ).eval()


def steps(settings: Settings) -> dict[str, Any]:
    """Milliseconds per step of 64 rows, run directly and recorded; both must write the same tokens."""
    model, rows, tokens = _model(settings), 4 if settings.tiny else 64, 8 if settings.tiny else 96
    prompts = [tuple(1 + (7 * row + i) % 500 for i in range(20 + row % 40)) for row in range(rows)]
    pools = {"direct": StaticCachePool()}
    if settings.cuda:
        pools["recorded"] = StaticCachePool(CudaRecorder(settings.device))
    figures: dict[str, Any] = {}
    written = []
    for name, pool in pools.items():
        for limit in (tokens, 1, tokens):  # the first makes kernels and recordings
            finish(settings)
            began = time.perf_counter()
            found = decode_static(model, prompts, [limit] * rows, {NEVER}, bool, settings.device, pool)
            figures[f"{name}_ms"] = 1e3 * (time.perf_counter() - began) - figures.get(f"{name}_prefill_ms", 0)
            if limit == 1:
                figures[f"{name}_prefill_ms"] = 1e3 * (time.perf_counter() - began)
        figures[f"{name}_ms"] /= tokens
        written.append(found)
    if any(found != written[0] for found in written):
        raise ArithmeticError("a recorded step writes other tokens than a direct one")
    return {name: round(value, 3) for name, value in figures.items()} | {"rows": rows, "tokens": tokens}


def new_shapes(settings: Settings) -> dict[str, Any]:
    """Forward passes whose lengths were never seen before, with cuDNN's attention and without it.

    cuDNN plans for every shape, in milliseconds of the host; `again` is the same shapes once more.
    """
    os.environ["TORCH_CUDNN_SDPA_DEPRIORITIZED"] = "0"
    model, last = _model(settings), 44 if settings.tiny else 104
    figures: dict[str, Any] = {}

    def forward(length: int) -> None:
        with torch.no_grad():
            model(input_ids=torch.ones(8, length, dtype=torch.int64, device=settings.device), logits_to_keep=1)

    forward(8)  # loads kernels
    for name, allowed in (("with_cudnn", True), ("without_cudnn", False)):
        torch.backends.cuda.enable_cudnn_sdp(allowed)
        lengths = range(40 + allowed, last, 2)  # no product of the other way's shapes either
        for when in ("first", "again"):
            finish(settings)
            began = time.perf_counter()
            for length in lengths:
                forward(length)
            finish(settings)
            figures[f"{name}_{when}_ms"] = round(1e3 * (time.perf_counter() - began) / len(lengths), 3)
    return figures


def evaluation(settings: Settings) -> dict[str, Any]:
    """A whole evaluation of a model that never ends its answers: Letheon and the usual way, seconds and metrics."""
    config = BenchmarkConfig(
        name="fictional", people=4 if settings.tiny else 20, evaluation_rows=4 if settings.tiny else 40
    )
    benchmark = load_benchmark(config)
    split = benchmark.split(0.5 if settings.tiny else 0.2)
    tokenizer = tiny_tokenizer(texts_of([*benchmark.full, *benchmark.general]))
    new_tokens = 4 if settings.tiny else NEW_TOKENS
    model, limits = _model(settings), EvaluationConfig(max_new_tokens=new_tokens)

    def ours() -> dict[str, float]:
        return dict(evaluate(model, tokenizer, TEMPLATE, split, limits, Group(device=settings.device)).metrics)

    first = _timed(ours, settings)
    seconds, metrics = _timed(ours, settings)
    plain_seconds, theirs = _timed(
        lambda: Plain(model, tokenizer, TEMPLATE, settings.device, new_tokens).evaluate(split.evaluation), settings
    )
    common = [name for name in theirs if name in metrics]
    return {
        "first_seconds": first[0],
        "seconds": seconds,
        "plain_seconds": plain_seconds,
        "ratio": round(plain_seconds / seconds, 2),
        "largest_difference": max(abs(theirs[name] - metrics[name]) for name in common),
    }


def _timed(function: Callable[[], dict[str, float]], settings: Settings) -> tuple[float, dict[str, float]]:
    """Seconds of one call, and what it returned."""
    finish(settings)
    began = time.perf_counter()
    found = function()
    finish(settings)
    return round(time.perf_counter() - began, 3), found
