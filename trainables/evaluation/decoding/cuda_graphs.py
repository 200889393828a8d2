"""Decoding steps as CUDA graphs, and the cache of one model's batches and graphs.

`torch.compile(mode="reduce-overhead")` would compile for every batch size, seconds each; recording runs the existing
kernels and costs about two steps.

A graph replays kernels on fixed addresses. An engine's weights keep theirs for a whole trial and change in place, so
the graphs of one evaluation serve the trial's later ones; a new trial has new weights and records again, once per batch
size. The cache holds one model at a time, and after an evaluation only if its keys and values are a small share of the
device's memory (`release`). All graphs of a model share scratch memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch

from trainables.evaluation.decoding.static_cache_pool import Replay, StaticCachePool
from trainables.runtime.imports import gc_paused

_KEPT_SHARE = 32
"""Keys and values of up to 1 / 32 of the device's memory stay between evaluations: training's estimate allows it."""


class CudaRecorder:
    """Records steps on one device. All its graphs share a memory pool: lasting data is outside of it, and graphs never
    run at the same time, as each is replayed on its caller's stream.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        with torch.cuda.device(self._device):
            self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], None]) -> Replay:
        """Run the step once, then record it, which runs nothing. Raises RuntimeError if it cannot be recorded.

        The first run is on the recording's stream, so that whatever is made at first use (loaded kernels, cuBLAS
        workspaces) lies outside of the pool.
        """
        with torch.cuda.device(self._device):
            current, side = torch.cuda.current_stream(), _side_stream(self._device)
            side.wait_stream(current)
            with torch.cuda.stream(side):
                step()
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            try:
                # "thread_local": other threads' calls (a watchdog querying events) must not break the recording.
                # A collection could free CUDA events of other objects, which a recording does not allow.
                with (
                    gc_paused(),
                    torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"),
                ):
                    step()
            except RuntimeError:
                # A failed recording leaves its stream as the current one.
                torch.cuda.set_stream(current)
                raise
            return graph.replay


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One per device and process, since each stream has lasting cuBLAS workspaces."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class _Kept(NamedTuple):
    """One model's batches and what their recordings rely on. Does not keep the model alive."""

    model: weakref.ref[Any]
    signature: object
    pool: StaticCachePool


class DecodeCache:
    """The batches of the model that decoded last."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the keys and values held."""
        return 0 if self._kept is None else self._kept.pool.bytes

    def pool(self, model: Any, make: Callable[[], StaticCachePool]) -> StaticCachePool:
        """The model's batches; a new pool if it has none or has changed in a way that invalidates recordings."""
        signature, kept = signature_of(model), self._kept
        if kept is not None and kept.model() is model and kept.signature == signature:
            return kept.pool
        self._kept = kept = None  # free the old pool before making a new one
        made = make()
        self._kept = _Kept(weakref.ref(model, self._model_died), signature, made)
        return made

    def release(self, most: int) -> None:
        """Drop the batches if their keys and values have more bytes than `most`."""
        if self.bytes > most:
            self._kept = None

    def _model_died(self, model: weakref.ref[Any]) -> None:
        if self._kept is not None and self._kept.model is model:
            self._kept = None


decode_cache = DecodeCache()


def signature_of(model: Any) -> object:
    """The addresses of a module's weights and buffers, and the settings that decide which code it runs."""
    tensors = (*model.parameters(), *model.buffers())
    merged = sum(len(getattr(module, "merged_adapters", ())) for module in model.modules())
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return tuple(tensor.data_ptr() for tensor in tensors), merged, implementation, model.training


def cuda_pool(model: Any, device: torch.device | str) -> StaticCachePool:
    """Batches for decoding on a CUDA device. With hooks that gather sharded weights (ZeRO-3), steps run directly."""
    sharded = any(hasattr(parameter, "ds_id") for parameter in model.parameters())
    return decode_cache.pool(model, lambda: StaticCachePool(None if sharded else CudaRecorder(device)))


def release(device: torch.device | str) -> None:
    """After an evaluation, free the cache for training unless it is small."""
    if torch.device(device).type == "cuda":
        decode_cache.release(torch.cuda.get_device_properties(device).total_memory // _KEPT_SHARE)
