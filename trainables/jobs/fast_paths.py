"""Runs every fast path of a device beside the plain one, on a tiny model made here, and measures both."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from trainables.batching.packing import pack
from trainables.batching.rows import Encoded
from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.decoding.cuda_graphs import CudaRecorder
from trainables.evaluation.decoding.static import decode_static
from trainables.evaluation.decoding.static_cache_pool import StaticCachePool
from trainables.evaluation.scoring.read import tree_ways
from trainables.inputs.cache import encode_rows
from trainables.model.compile import compile_layers, eager_mode
from trainables.model.copies import DTYPES, cast_parameters
from trainables.model.cpu.patch import patch_for_cpu, reads_branches
from trainables.model.load import texts_of, tiny_model, tiny_tokenizer
from trainables.model.memory import RECIPES
from trainables.model.packed_attention import use_packed_attention
from trainables.runtime.fast_paths import (
    FAST_PATHS,
    TOLERANCE,
    FastPath,
    Outcome,
    Ways,
    difference,
    disagreement,
    raised,
)
from trainables.self_check.compiled_layers import compiled_ways
from trainables.self_check.layer_calls import layer_calls
from trainables.self_check.layers import layer_ways
from trainables.training.bf16_adamw import step_ways

ROWS, NEW_TOKENS, RUNS = 32, 32, 5
_ADAMW = {"betas": (0.9, 0.999), "weight_decay": 0.01}
_UNUSED: Mapping[FastPath, str] = {
    "packed attention kernel": "needs half precision and a GPU of compute capability 8.0",
    "lean layers": "for CPUs only",
    "own optimizer step": "for half precision only",
    "recorded decoding": "needs a GPU",
    "prefix tree": "for CPUs only",
}


@dataclass(frozen=True)
class Checked:
    """One fast path in one dtype on one device.

    `state`: "on", "off: reason" or "not used: reason". `values`, `gradients`: the largest relative error against the
    plain path. `ratio`: time of the plain path by that of the fast one.
    """

    path: FastPath
    device: str
    dtype: str
    state: str
    values: float | None = None
    gradients: float | None = None
    tolerance: float | None = None
    ratio: float | None = None


def check_fast_paths(device: torch.device | str) -> Iterator[Checked]:
    """Check every path in float32 and bfloat16 on the device, in this process; yields each as it is done."""
    device = torch.device(device)
    benchmark = load_benchmark(BenchmarkConfig(name="fictional"))
    tokenizer = tiny_tokenizer(texts_of([*benchmark.full, *benchmark.general]))
    model: Any = tiny_model(tokenizer, seed=0)
    model.eval()
    use_packed_attention(model)
    patch_for_cpu(model)
    rows = encode_rows("plain", tokenizer, benchmark.full[:ROWS])
    for name, dtype in DTYPES.items():
        found = ways(model, rows, dtype, device, int(tokenizer.pad_token_id))
        for path in FAST_PATHS:
            if path in found:
                yield checked(path, found[path], name, dtype, device)
            else:
                yield Checked(path, str(device), name, f"not used: {_UNUSED.get(path, 'not for this model')}")


def ways(
    model: Any, rows: Sequence[Encoded], dtype: torch.dtype, device: torch.device, pad_id: int
) -> dict[FastPath, Callable[[], Ways]]:
    """What makes both ways of each path that the device has."""
    half = dtype.itemsize < torch.float32.itemsize

    def on_device() -> Any:
        return cast_parameters(copy.deepcopy(model).to(device), dtype)

    def compiled() -> Ways:
        trained = on_device().train()
        compile_layers(trained)
        calls = layer_calls(trained, pack(rows, device, filled=True), eager_mode())
        return compiled_ways(lambda: calls)

    def decoding() -> Ways:
        read, prompts = on_device(), [row.input_ids[: row.answer_start] for row in rows]

        def decoded(pool: StaticCachePool) -> Callable[[], Outcome]:
            def run() -> Outcome:
                some = decode_static(read, prompts, [NEW_TOKENS] * len(rows), {pad_id}, bool, device, pool)
                return Outcome([torch.tensor(tokens) for tokens in some or ()])

            return run

        return decoded(StaticCachePool(CudaRecorder(device))), decoded(StaticCachePool())

    def known(both: Ways) -> Callable[[], Ways]:
        return lambda: both

    found = {path: known(both) for path, both in layer_ways(model, rows, dtype, device, ROWS).items()}
    found["compiled layers"] = compiled
    if half:
        found["own optimizer step"] = lambda: step_ways(
            list(on_device().parameters()), RECIPES["exact"], _ADAMW, 1.0, device, 1 << 20
        )
    if device.type == "cuda":
        found["recorded decoding"] = decoding
    elif reads_branches(model, max(len(row.input_ids) for row in rows)):
        found["prefix tree"] = lambda: tree_ways(on_device(), rows, pad_id, device)
    return found


def checked(path: FastPath, make: Callable[[], Ways], name: str, dtype: torch.dtype, device: torch.device) -> Checked:
    """Compare and time the two ways of a path. What the fast way raises becomes its state."""
    # Masters are in float32, whatever the weights are.
    tolerance = TOLERANCE[torch.float32 if path == "own optimizer step" else dtype]
    try:
        fast, plain = make()
        found = difference(fast(), plain())
        why = disagreement(found, tolerance)
        ratio = speed_ratio(fast, plain, device)
    except Exception as error:
        return Checked(path, str(device), name, f"off: {raised(error)}")
    state = "on" if why is None else f"off: {why}"
    return Checked(path, str(device), name, state, found.values, found.gradients, tolerance, ratio)


def speed_ratio(fast: Callable[[], Outcome], plain: Callable[[], Outcome], device: torch.device) -> float:
    """Median time of the plain way by that of the fast one, run in turn."""

    def seconds(run: Callable[[], Outcome]) -> float:
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    both = [(seconds(plain), seconds(fast)) for _ in range(RUNS)]
    return median(one for one, _ in both) / median(other for _, other in both)
