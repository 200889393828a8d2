"""The optimizer step in half precision equals DeepSpeed's own update, with Adam's step count corrected."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer
from torch import Tensor
from torch._dynamo.utils import counters

from tests import tiny
from tests.trainables.training.engine_runs import ROWS, model
from trainables.batching.rows import collate
from trainables.config import WorkersConfig
from trainables.model import compile
from trainables.model.compile import fused
from trainables.model.scoring import score
from trainables.runtime.ranks import Group
from trainables.training import bf16_adamw
from trainables.training.bf16_adamw import _step, _update
from trainables.training.engine import Engine

CLIP = 0.5


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with tiny.joined(tmp_path_factory.mktemp("group")) as group:
        yield group


@pytest.fixture(params=["fused adamw", "compiled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        torch._dynamo.reset()
        monkeypatch.setattr(bf16_adamw, "compiles", lambda device: True)
        monkeypatch.setattr(compile, "_compiled", cache(partial(torch.compile, backend="aot_eager")))


def engine(group: Group, decay_norms: bool = True) -> Engine:
    on = WorkersConfig(precision="bf16")
    return Engine(model(), on, group, weight_decay=0.1, decay_norms=decay_norms, gradient_clip=CLIP)


def take(engine: Engine, scale: float = 1.0) -> None:
    def losses() -> Iterator[Tensor]:
        yield -score(engine.deepspeed, collate(ROWS, 0)).sequence.mean() * scale

    engine.step(losses(), learning_rate=1e-2, count=1)


def masters(engine: Engine) -> Tensor:
    return torch.cat([master.detach().flatten() for of in engine.deepspeed.optimizer.fp32_groups for master in of])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("decay_norms", [True, False])
def test_the_update_equals_deepspeeds_own(group: Group, decay_norms: bool) -> None:
    ours, theirs = engine(group, decay_norms), engine(group, decay_norms)
    assert len(ours.deepspeed.optimizer.fp32_groups) == (1 if decay_norms else 2)
    wrapper: Any = theirs.deepspeed.optimizer
    wrapper.step = lambda: FP16_UnfusedOptimizer.step(wrapper)
    for scale in (1.0, 1e-3, 50.0):  # clipped, not clipped, clipped
        take(ours, scale)
        take(theirs, scale)
    torch.testing.assert_close(masters(ours), masters(theirs), rtol=1e-5, atol=1e-6)
    assert float(ours.deepspeed.get_global_grad_norm()) == pytest.approx(wrapper._global_grad_norm, rel=1e-5)
    ours.close()
    theirs.close()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_nonfinite_gradients_change_nothing(group: Group, scale: float) -> None:
    ours = engine(group)
    take(ours)
    before, counts = masters(ours).clone(), _counts(ours)
    take(ours, scale)
    assert torch.equal(masters(ours), before)
    assert _counts(ours) == counts == {1.0}
    take(ours)
    assert not torch.equal(masters(ours), before)
    ours.close()


def _counts(engine: Engine) -> set[float]:
    return {float(state["step"]) for state in engine.deepspeed.optimizer.state.values()}


def test_without_clipping_long_gradients_stay_long() -> None:
    weight, master = torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2)
    weight.grad = torch.tensor([30.0, 40.0], dtype=torch.bfloat16)
    adam = torch.optim.AdamW([master], lr=0.1, betas=(0.0, 0.5), weight_decay=0.0, fused=True)
    _step(SimpleNamespace(fp16_groups=[[weight]], fp32_groups=[[master]], clip_grad=0.0, optimizer=adam))
    assert adam.state[master]["exp_avg_sq"].tolist() == [450.0, 800.0]  # half of the squares
    assert [each.grad for each in (weight, master)] == [None, None]
    assert torch.equal(weight, master.bfloat16())


@pytest.mark.slow  # a compiler runs
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
def test_one_compilation_serves_tensors_of_all_sizes() -> None:
    torch._dynamo.reset()
    counters.clear()
    for size in (7, 33, 1000, 64):
        torch.manual_seed(size)
        master, gradient = torch.randn(size), torch.randn(size).bfloat16()
        plain = master.clone().requires_grad_()
        plain.grad = gradient.float() / 2
        adam = torch.optim.AdamW([plain], lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.5)
        adam.step()
        weight, mean, square = torch.zeros(size, dtype=torch.bfloat16), torch.zeros(size), torch.zeros(size)
        numbers = [2.0, 1.0, 0.1 / 0.1, 0.01**-0.5, 1 - 0.1 * 0.5, 0.1, 0.01, 1e-8]
        fused(_update)(weight, master, gradient, mean, square, *(torch.tensor(number) for number in numbers))
        torch.testing.assert_close(master, plain.detach(), rtol=1e-5, atol=1e-6)
        assert torch.equal(weight, master.bfloat16())
    assert counters["stats"]["unique_graphs"] == 1
