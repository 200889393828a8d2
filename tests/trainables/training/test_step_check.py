"""The own optimizer step is used where it equals plain AdamW; DeepSpeed's own step is kept where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import tiny
from tests.trainables.training.engine_runs import ROWS, model
from trainables.batching.rows import collate
from trainables.config import WorkersConfig
from trainables.model.scoring import score
from trainables.runtime import fast_paths
from trainables.runtime.fast_paths import TOLERANCE, difference, states, switch_off
from trainables.runtime.ranks import Group
from trainables.training import bf16_adamw
from trainables.training.bf16_adamw import step_ways
from trainables.training.engine import Engine

SETTINGS = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not used any fast path."""
    monkeypatch.setattr(fast_paths, "_states", {})
    monkeypatch.setattr(fast_paths, "_proved", set())


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with tiny.joined(tmp_path_factory.mktemp("group")) as group:
        yield group


def steps_too_far(*given: Any) -> None:
    """The right update, then one percent more of it."""
    right(*given)
    _, weights, masters, *_ = given
    for weight, master in zip(weights, masters, strict=True):
        master.mul_(1.01)
        weight.copy_(master)


right = bf16_adamw._by_fused_adamw


def trained(group: Group) -> Tensor:
    """The weights after three steps."""
    engine = Engine(model(), WorkersConfig(precision="bf16"), group, weight_decay=0.1, gradient_clip=0.5)
    for _ in range(3):
        loss = -score(engine.deepspeed, collate(ROWS, 0)).sequence.mean()
        engine.step([loss], learning_rate=1e-2, count=1)
    found = torch.cat([parameter.detach().flatten() for parameter in engine.model.parameters()])
    engine.close()
    return found


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_both_ways_agree(clip: float) -> None:
    weights = [torch.randn(8, 8, dtype=torch.bfloat16), torch.randn(8, dtype=torch.bfloat16)]
    fast, plain = step_ways([weights], SETTINGS, clip)
    outcome = plain()
    assert difference(fast(), outcome).values < TOLERANCE[torch.float32] / 10
    assert len(outcome.values) == 8, "two weights, four steps"
    assert [float(change.abs().max()) > 0 for change in outcome.values[::2]] == [True, True, False, True]


def test_a_wrong_step_leaves_deepspeeds_own(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_off("own optimizer step", "to see the plain path's numbers")
    expected = trained(group)
    monkeypatch.setattr(fast_paths, "_states", {})
    with monkeypatch.context() as context:
        context.setattr(bf16_adamw, "_by_fused_adamw", steps_too_far)
        assert torch.equal(trained(group), expected)
        assert states()["own optimizer step"].startswith("off: values differ by ")
    monkeypatch.setattr(fast_paths, "_states", {})
    trained(group)
    assert states()["own optimizer step"] == "on"
