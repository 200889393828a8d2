"""A room's step as a CUDA graph, and which model's rooms and graphs are kept. Nothing else knows CUDA graphs.

Why not `torch.compile(mode="reduce-overhead")`: it would compile for every size of room, seconds each; recording runs
what is there already and costs about two steps.

A graph replays kernels on the addresses they had. The weights of an engine have theirs for a whole trial and change in
place, so the graphs of one evaluation serve the later ones of the trial; a new trial has new weights and records anew
(a recording for each size of room). One model's are kept at a time, and after an evaluation only if their keys and
values are a small share of the device's memory (`let_go`). Scratch memory is shared by all graphs of a model.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch

from trainables.evaluation.decoding.static_cache_pool import Replay, StaticCachePool

_LOG = logging.getLogger(__name__)
_KEPT_SHARE = 32
"""Keys and values are kept between evaluations up to 1 / 32 of the device's memory: training has planned with it."""


class CudaRecorder:
    """Records steps on one device. All its graphs share a pool: they need nothing of each other, as all that lasts lies
    outside, and never run at the same time, as they are replayed on the stream of the one who asks.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        with torch.cuda.device(self._device):
            self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], None]) -> Replay | None:
        """A recording runs nothing. The step is run before it, on the same stream, so that whatever is made at first
        use (kernels that are loaded, the workspaces of cuBLAS) is there, and lies outside of the pool.
        """
        with torch.cuda.device(self._device):
            current, side = torch.cuda.current_stream(), _side_stream(self._device)
            side.wait_stream(current)
            with torch.cuda.stream(side):
                step()
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            try:
                # "thread_local": calls of other threads (a watchdog that queries events) must not break the recording.
                with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
                    step()
            except RuntimeError as error:
                # A recording that fails leaves its stream the current one.
                torch.cuda.set_stream(current)
                _LOG.warning("decoding without CUDA graphs: a step of this model cannot be recorded: %s", error)
                return None
            return graph.replay


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for a device and process: each has workspaces of cuBLAS that last."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class _Kept(NamedTuple):
    """Rooms of one model, and what their recordings rely on. Nothing here keeps the model alive."""

    model: weakref.ref[Any]
    signature: object
    rooms: StaticCachePool


class Keep:
    """The rooms of the model that was decoded last."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    @property
    def bytes(self) -> int:
        """Of keys and values that are kept."""
        return 0 if self._kept is None else self._kept.rooms.bytes

    def rooms(self, model: Any, make: Callable[[], StaticCachePool]) -> StaticCachePool:
        """The model's rooms, made where it has none or has changed so that recordings are void."""
        signature, kept = signature_of(model), self._kept
        if kept is not None and kept.model() is model and kept.signature == signature:
            return kept.rooms
        self._kept = kept = None  # the old go before the new come
        made = make()
        self._kept = _Kept(weakref.ref(model, self._model_died), signature, made)
        return made

    def let_go(self, most: int = 0) -> None:
        """Drop what is kept if its keys and values have more bytes than `most`."""
        if self.bytes > most:
            self._kept = None

    def _model_died(self, model: weakref.ref[Any]) -> None:
        if self._kept is not None and self._kept.model is model:
            self._kept = None


keep = Keep()


def signature_of(model: Any) -> object:
    """Of a module: where its weights and buffers lie, and what decides which code it runs."""
    tensors = (*model.parameters(), *model.buffers())
    merged = sum(len(getattr(module, "merged_adapters", ())) for module in model.modules())
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return tuple(tensor.data_ptr() for tensor in tensors), merged, implementation, model.training


def cuda_rooms(model: Any, device: torch.device | str) -> StaticCachePool:
    """For decoding on a CUDA device. Where hooks gather sharded weights (ZeRO-3), steps are run as they are."""
    sharded = any(hasattr(parameter, "ds_id") for parameter in model.parameters())
    return keep.rooms(model, lambda: StaticCachePool(None if sharded else CudaRecorder(device)))


def let_go(device: torch.device | str) -> None:
    """After an evaluation: make room for training, unless little is kept."""
    if torch.device(device).type == "cuda":
        keep.let_go(torch.cuda.get_device_properties(device).total_memory // _KEPT_SHARE)
