"""The step as trials take it: DeepSpeed engine, one packed forward pass, cached reference."""

from __future__ import annotations

import copy
import os

import deepspeed  # noqa: F401 (so that its import is not counted as memory of a step)

from trainables.batching.schedule import StepRows
from trainables.config import Compilation, Hyperparameters, WorkersConfig
from trainables.inputs.micro_batches import MicroBatcher, StepData
from trainables.inputs.reference_log_probs import compute_reference
from trainables.methods import METHODS
from trainables.model.cpu.patch import patch_for_cpu
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.step import Stepper

from .case import BETA, CLIP, RETAIN_WEIGHT, WEIGHT_DECAY, Case, Step


def letheon(case: Case, padded: bool = False, compilation: Compilation = "auto") -> Step:
    """`padded`: the same with right padding, to see what packing alone is worth."""
    group = Group(0, 1, case.device)
    workers = WorkersConfig(precision=case.precision, compile=compilation)
    hyper = Hyperparameters(
        method="npo_rt",
        forget_fraction=0.1,
        learning_rate=case.learning_rate,
        beta=BETA,
        retain_weight=RETAIN_WEIGHT,
        batch_size=case.rows,
    )
    model = copy.deepcopy(case.model)
    patch_for_cpu(model)
    frozen = copy.deepcopy(model).to(case.device, case.dtype)
    table = compute_reference(frozen, case.forget, case.pad_id, 2048, case.device)  # once per sweep: not part of a step
    del frozen
    os.environ["LOCAL_RANK"] = "0"  # DeepSpeed asks for it; other trainers would take it for a distributed run
    engine = Engine(model, workers, group, weight_decay=WEIGHT_DECAY, gradient_clip=CLIP)
    del os.environ["LOCAL_RANK"]
    data = StepData(case.forget, case.retain, case.pad_id, reference=table)
    layout = "padded" if padded else engine.layout
    feed = MicroBatcher(
        METHODS["npo_rt"], data, group, None, layout=layout, micro_batch_tokens=engine.micro_batch_tokens
    )
    stepper = Stepper(engine, hyper, feed)
    engine.model.train()

    def step(rows: StepRows) -> float:
        return sum(float(seen.loss) for seen in stepper.run(rows, 1, case.learning_rate))

    return step
