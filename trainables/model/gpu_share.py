"""A worker's share of its GPU: how large it is, what of a trial lies in it, and that no worker takes more.

Everything follows from the trial's configuration and the card, never from what happens to be free: a used worker must
come to the same micro-batches, and so to the same sums, as a fresh one. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainables.config import EvaluationConfig, LoraConfig, WorkersConfig
from trainables.methods.base import Method
from trainables.model.memory import (
    FLOAT32,
    USEFUL_TOKENS,
    MemoryEstimate,
    Shape,
    activation_bytes,
    adapter_parameters,
    evaluation_bytes,
    state_bytes,
)

CUDA_CONTEXT = 600 * 2**20
"""What a process takes of a GPU before its first tensor: CUDA's own, and the kernels that are loaded."""
ELEMENT = {"fp32": 4, "bf16": 2}
GIB = 2**30

Place = Literal["host", "pinned", "device"]
"""Where engines copy weights from. `host`: as the model was loaded, in float32. `pinned`: page-locked memory of the
host, `device`: the device itself, both in the trial's precision, to which DeepSpeed would round them anyway."""


def share_of(workers: WorkersConfig) -> float:
    """The part of one GPU that is a worker's: all of it unless it says less, for a process computes on one device."""
    return min(1.0, workers.gpus_per_worker) or 1.0


def room(total: int, workers: WorkersConfig) -> int:
    """Bytes for the tensors of a worker on a GPU of `total` bytes."""
    return max(0, int(share_of(workers) * total) - CUDA_CONTEXT)


def cap_process_memory(workers: WorkersConfig, device: str) -> None:
    """Let this process run out of memory at the end of its share, so that it alone is hurt, not its neighbours.

    Nothing is done for whole GPUs and on processors.
    """
    import torch

    if torch.device(device).type == "cuda" and share_of(workers) < 1:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(room(total, workers) / total, device)


def oom_message(workers: WorkersConfig, total: int, peak: int) -> str | None:
    """Why a worker with a part of a GPU ran out of memory, and what helps; None for whole GPUs."""
    if share_of(workers) == 1:
        return None
    return (
        f"trial.gpus_per_worker {workers.gpus_per_worker:g}: the trial needs more than its share, "
        f"{room(total, workers) / GIB:.1f} of the GPU's {total / GIB:.1f} GiB (it held {peak / GIB:.1f}); give it a "
        "larger share (`auto` computes one), or set trial.micro_batch_size or evaluation.batch_tokens lower"
    )


@dataclass(frozen=True)
class Settings:
    """What of a sweep or a trial decides the memory that a worker takes."""

    workers: WorkersConfig
    evaluation: EvaluationConfig
    methods: Sequence[Method]
    lora: LoraConfig | None = None

    @property
    def element(self) -> int:
        return ELEMENT[self.workers.precision]

    @property
    def frozen(self) -> bool:
        """Whether a method reads the target model itself."""
        return any(method.needs_reference_model for method in self.methods)


def estimate_memory(
    shape: Shape, settings: Settings, tokens: int, answers: int | None = None, kept: bool = False
) -> MemoryEstimate:
    """Of the settings' hungriest method.

    `tokens`: of the largest micro-batch; `answers` of them (None: all). `kept`: the weights that trials start from stay
    on the device, and serve as the frozen copy where a method has one.
    """
    frozen = settings.frozen or kept
    workers, element, lora = settings.workers, settings.element, settings.lora
    trained = None if lora is None else adapter_parameters(shape, lora.rank)
    states = dict(state_bytes(shape, element, workers.zero_stage, workers.workers, frozen, trained))
    if any(method.needs_whole_gradients for method in settings.methods):
        states["method"] = 2 * FLOAT32 * (shape.parameters if trained is None else trained)  # two gradients, or a line
    return MemoryEstimate(
        states,
        activation_bytes(shape, tokens, tokens if answers is None else answers, element),
        evaluation_bytes(shape, element, settings.evaluation.batch_tokens),
    )


def place_of_weights(shape: Shape, settings: Settings, on_gpu: bool, space: int) -> Place:
    """Where the weights that trials start from are kept by a worker with `space` bytes for its tensors.

    On a GPU they stay on the device when a method has them there anyway, or when they fit beside a trial with
    micro-batches of a useful size: smaller ones would cost more than a copy from the host.
    """
    if not on_gpu:
        return "host"  # which is the device
    if settings.frozen:
        return "device"
    return "device" if estimate_memory(shape, settings, USEFUL_TOKENS, kept=True).fits(space) else "pinned"
