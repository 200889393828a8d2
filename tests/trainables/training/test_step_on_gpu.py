"""A training step on a GPU: nothing in it waits for the device, and compiled layers take the plain one's steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from tests import tiny
from tests.tiny import rows
from tests.trainables.model.test_packed_attention import SHAPE, gradients
from trainables.batching.packing import pack
from trainables.batching.rows import collate
from trainables.batching.schedule import StepRows
from trainables.config import Compilation, Hyperparameters, WorkersConfig
from trainables.inputs.micro_batches import MicroBatcher, StepData
from trainables.inputs.reference_log_probs import compute_reference
from trainables.methods import METHODS
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.step import Stepper

pytestmark = tiny.needs_engine_on_gpu
ROWS = [(5 + i % 7, 6 + i % 11) for i in range(24)]


def model(**others: int) -> Any:
    return tiny.llama(**SHAPE | {"tie_word_embeddings": True, "initializer_range": 0.1} | others)


def stepper(group: Group, compilation: Compilation) -> Stepper:
    workers = WorkersConfig(precision="bf16", compile=compilation, gpus_per_worker=1)
    hyper = Hyperparameters(method="npo_rt", forget_fraction=0.1, learning_rate=1e-3, beta=0.1, retain_weight=1.0)
    forget, retain = rows(ROWS), rows(ROWS[::-1])
    frozen = model().to(group.device, torch.bfloat16)
    table = compute_reference(frozen, forget, 0, 2048, group.device)
    engine = Engine(model(), workers, group, weight_decay=0.01)
    engine.model.train()
    batcher = MicroBatcher(
        METHODS["npo_rt"], StepData(forget, retain, 0, reference=table), group, None, layout=engine.layout
    )
    return Stepper(engine, hyper, batcher)


def step_rows(number: int) -> StepRows:
    chosen = tuple((8 * number + i) % len(ROWS) for i in range(8))
    return StepRows(chosen, chosen)


def test_the_packed_kernel_equals_padded_rows() -> None:
    trained = model(hidden_size=256, head_dim=64).to("cuda", torch.bfloat16)
    found = gradients(trained, pack(rows(ROWS), "cuda", filled=True)).float()
    expected = gradients(trained, collate(rows(ROWS), 0).to("cuda")).float()
    assert float((found - expected).norm() / expected.norm()) < 0.05


@pytest.mark.parametrize("compilation", ["off", "on"])
def test_no_step_waits_for_the_device(gpu_group: Group, compilation: Compilation) -> None:
    trained = stepper(gpu_group, compilation)
    for number in range(4):  # kernels are loaded, sizes compiled, memory pinned
        trained.run(step_rows(number % 3), 1, 1e-3)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(3):
            trained.run(step_rows(number), 1, 1e-3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    trained.engine.close()


def test_compiled_steps_have_the_losses_of_plain_ones(gpu_group: Group) -> None:
    torch._dynamo.reset()
    counters.clear()
    losses = []
    ways: tuple[Compilation, ...] = ("off", "on")
    for compilation in ways:
        trained = stepper(gpu_group, compilation)
        losses.append([sum(float(part.loss) for part in trained.run(step_rows(i), 1, 1e-3)) for i in range(6)])
        trained.engine.close()
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    assert losses[0][-1] != losses[0][0]
    assert 0 < counters["stats"]["unique_graphs"] <= 8
    assert not counters["graph_break"]
