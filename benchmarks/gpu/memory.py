"""Peak memory of recipes for training, at several sizes of models, next to what Letheon predicts."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.gpu.run import Settings
from trainables.config import LoraConfig, WorkersConfig
from trainables.model.memory import RECIPES

SHAPES = ("llama-1b", "llama-3b", "llama-8b")
_STEPS = 3


@dataclass(frozen=True)
class Recipe:
    """A way to train. `workers`: the settings of the trial that choose it."""

    name: str
    workers: dict[str, Any] = field(default_factory=dict)
    lora: LoraConfig | None = None


def recipes() -> list[Recipe]:
    """Every way to train whose memory is measured. A new recipe needs a line here and nothing else."""
    return [
        *(Recipe(name, {"memory": name}) for name in RECIPES),
        Recipe("exact, uncompiled", {"compile": "off"}),
        Recipe("ZeRO 2", {"deepspeed": {"zero_optimization": {"stage": 2}}}),
        Recipe("LoRA 16", {}, LoraConfig(rank=16)),
    ]


def recipe(settings: Settings, name: str, shape: str) -> dict[str, Any]:
    """Three steps of NPO with a retain term under a recipe: peak bytes, of the start too, and predicted ones.

    A model that does not fit is a result: `fits` is false. Weights start on the host, as in a worker.
    """
    import torch

    from benchmarks.gpu.steps import case_of, join
    from trainables.model.compile import ANY_SIZE

    os.environ |= {"LOCAL_RANK": "0", ANY_SIZE: "1"}  # one compilation; activations are the same
    chosen = next(each for each in recipes() if each.name == name)
    join(settings)
    case = case_of(settings, shape)
    workers = WorkersConfig(precision=case.precision, gpus_per_worker=1 if settings.cuda else 0, **chosen.workers)
    figures: dict[str, Any] = {"parameters": case.parameters, "device_bytes": _total(settings)}
    try:
        return figures | {"fits": True} | _trained(settings, case, workers, chosen.lora)
    except torch.OutOfMemoryError as error:
        return figures | {"fits": False, "why": str(error).split(". ")[0], **_peaks(settings)}


def _trained(settings: Settings, case: Any, workers: WorkersConfig, lora: LoraConfig | None) -> dict[str, Any]:
    from trainables.config import EvaluationConfig, Hyperparameters
    from trainables.inputs.micro_batches import MicroBatcher, StepData
    from trainables.inputs.reference_log_probs import compute_reference
    from trainables.methods import METHODS
    from trainables.model.gpu_share import MemorySettings, estimate_memory
    from trainables.model.memory import DecoderShape
    from trainables.runtime.ranks import Group
    from trainables.training.engine import Engine
    from trainables.training.step import Stepper

    group, parameters = Group(0, 1, case.device), case.parameters
    table = compute_reference(case.model, case.forget, case.pad_id, 2048, case.device)
    pristine = case.model.to("cpu")
    _reset(settings)
    engine = Engine(pristine, workers, group, weight_decay=0.01, lora=lora)
    started = _peaks(settings)
    hyper = Hyperparameters(
        method="npo_rt", forget_fraction=0.1, learning_rate=1e-5, beta=0.1, retain_weight=1.0, batch_size=case.rows
    )
    tokens = engine.micro_batch_tokens
    data = StepData(case.forget, case.retain, case.pad_id, reference=table)
    method = METHODS["npo_rt"]
    batcher = MicroBatcher(method, data, group, None, layout=engine.layout, micro_batch_tokens=tokens)
    stepper, losses, seconds = Stepper(engine, hyper, batcher), [], []
    engine.model.train()
    for rows in case.steps(_STEPS):
        began = time.perf_counter()
        losses.append(sum(float(part.loss) for part in stepper.run(rows, 1, 1e-5)))
        seconds.append(round(time.perf_counter() - began, 3))
    used = min(tokens, max(case.tokens(rows) for rows in case.steps(_STEPS)))
    asked = MemorySettings(workers, EvaluationConfig(), [method], lora)
    predicted = estimate_memory(DecoderShape.of(engine.model.config, parameters), asked, used)
    return {
        "start": started,
        **_peaks(settings),
        "predicted_state_bytes": sum(predicted.states.values()),
        "predicted_activation_bytes": predicted.activations,
        "micro_batch_tokens": tokens,
        "step_seconds": seconds,
        "losses": losses,
    }


def _reset(settings: Settings) -> None:
    import torch

    gc.collect()
    if settings.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peaks(settings: Settings) -> dict[str, int]:
    """Peak bytes since the last reset: tensors alone, and all that the allocator reserves."""
    import resource

    import torch

    if not settings.cuda:
        return {"peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    return {"peak_bytes": torch.cuda.max_memory_allocated(), "reserved_bytes": torch.cuda.max_memory_reserved()}


def _total(settings: Settings) -> int | None:
    import torch

    return torch.cuda.get_device_properties(0).total_memory if settings.cuda else None
