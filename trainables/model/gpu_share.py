"""A worker's share of its GPU: its size, what a trial needs of it, and the cap that keeps a worker within it.

Everything follows from the trial's configuration and the card, never from the memory that happens to be free: a used
worker must form the same micro-batches, and so the same sums, as a fresh one. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainables.config import EvaluationConfig, LoraConfig, WorkersConfig
from trainables.methods.base import Method
from trainables.model.memory import (
    FLOAT32,
    RECIPES,
    USEFUL_TOKENS,
    DecoderShape,
    MemoryEstimate,
    activation_bytes,
    adapter_parameters,
    evaluation_bytes,
    state_bytes,
    update_bytes,
)

CUDA_CONTEXT = 600 * 2**20
"""Bytes that a process takes of a GPU before its first tensor: the CUDA context and loaded kernels."""
_SHARDED_WEIGHTS = 3  # the ZeRO stage at which layers are not compiled
_ELEMENT_BYTES = {"fp32": 4, "bf16": 2}
GIB = 2**30

WeightPlace = Literal["host", "pinned", "device"]
"""Where engines copy weights from. `host`: the model as loaded, in float32. `pinned` host memory and `device`: in the
trial's precision, to which DeepSpeed would round them anyway."""


def share_of(workers: WorkersConfig) -> float:
    """A worker's share of one GPU, at most 1 because a process computes on one device; 1 if unset."""
    return min(1.0, workers.gpus_per_worker) or 1.0


def usable_bytes(total: int, workers: WorkersConfig) -> int:
    """Bytes that a worker has for tensors on a GPU of `total` bytes."""
    return max(0, int(share_of(workers) * total) - CUDA_CONTEXT)


def cap_process_memory(workers: WorkersConfig, device: str) -> None:
    """Make this process run out of memory at the end of its share, so that its neighbours are not affected.

    Does nothing for whole GPUs or on CPUs.
    """
    import torch

    if torch.device(device).type == "cuda" and share_of(workers) < 1:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(usable_bytes(total, workers) / total, device)


def oom_message(workers: WorkersConfig, total: int, peak: int) -> str | None:
    """Why a worker with a share of a GPU ran out of memory, and the fix; None for whole GPUs. Arguments in bytes."""
    if share_of(workers) == 1:
        return None
    return (
        f"trial.gpus_per_worker {workers.gpus_per_worker:g}: the trial needs more than its share, "
        f"{usable_bytes(total, workers) / GIB:.1f} of the GPU's {total / GIB:.1f} GiB (its peak was {peak / GIB:.1f}); "
        "increase the share (`auto` computes one), or lower trial.micro_batch_size or evaluation.batch_tokens"
    )


@dataclass(frozen=True)
class MemorySettings:
    """The settings of a sweep or trial that decide how much memory a worker takes. `on_gpu`: it runs on one; `probe`:
    trials are probed, for which a second engine stands beside the trial's.
    """

    workers: WorkersConfig
    evaluation: EvaluationConfig
    methods: Sequence[Method]
    lora: LoraConfig | None = None
    on_gpu: bool = False
    probe: bool = False

    @property
    def element(self) -> int:
        """Bytes per number."""
        return _ELEMENT_BYTES[self.workers.precision]

    @property
    def compiled(self) -> bool:
        """Whether layers are compiled; `compile.should_compile` says the same of an engine that takes packed rows."""
        on = self.workers.compile == "on" or (self.workers.compile == "auto" and self.on_gpu)
        return on and self.workers.zero_stage != _SHARDED_WEIGHTS

    @property
    def frozen(self) -> bool:
        """Whether a method needs a frozen copy of the target model."""
        return any(method.needs_reference_model for method in self.methods)


def estimate_memory(
    shape: DecoderShape, settings: MemorySettings, tokens: int, answers: int | None = None, kept: bool = False
) -> MemoryEstimate:
    """The memory of one worker under the method that needs most.

    `tokens`: of the largest micro-batch, of which `answers` are answer tokens (None: all). `kept`: whether the weights
    that trials start from stay on the device; a method's frozen copy is then the same memory.
    """
    workers, element, lora, compiled = settings.workers, settings.element, settings.lora, settings.compiled
    recipe, stage = RECIPES[workers.memory], workers.zero_stage
    trained = None if lora is None else adapter_parameters(shape, lora.rank)
    updated = shape.parameters if trained is None else trained
    states = dict(state_bytes(shape, element, stage, workers.workers, settings.frozen or kept, trained, recipe))
    if any(method.needs_whole_gradients for method in settings.methods):
        states["method"] = 2 * FLOAT32 * updated  # two float32 vectors as long as the trained parameters
    activations = activation_bytes(
        shape, tokens, tokens if answers is None else answers, element, compiled, recipe.recompute
    )
    evaluation = evaluation_bytes(shape, element, settings.evaluation.batch_tokens)
    if settings.probe:
        second = state_bytes(shape, element, stage, workers.workers, False, trained, recipe)
        evaluation = max(evaluation, sum(second.values()) + activations)
    return MemoryEstimate(
        states,
        activations,
        max(0, evaluation - (0 if stage else states["gradients"])),  # ZeRO may keep its buffers
        update_bytes(shape, updated, element, stage, workers.workers, compiled and settings.on_gpu),
    )


def place_of_weights(shape: DecoderShape, settings: MemorySettings, on_gpu: bool, space: int) -> WeightPlace:
    """Where a worker with `space` bytes for tensors keeps the weights that trials start from.

    On a GPU they stay on the device if a method needs them there anyway, or if they leave room for micro-batches of a
    useful size: smaller ones would cost more than a copy from the host.
    """
    if not on_gpu:
        return "host"  # the host is the device
    if settings.frozen:
        return "device"
    return "device" if estimate_memory(shape, settings, USEFUL_TOKENS, kept=True).fits(space) else "pinned"
