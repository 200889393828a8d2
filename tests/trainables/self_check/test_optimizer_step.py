"""The own optimizer step is used where it equals plain AdamW; what takes its place where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import tiny
from tests.trainables.training.engine_runs import ROWS, model, save
from trainables.batching.rows import collate
from trainables.config import MemoryRecipe, WorkersConfig
from trainables.model import compile
from trainables.model.memory import RECIPES
from trainables.model.scoring import score
from trainables.runtime import fast_paths
from trainables.runtime.fast_paths import TOLERANCE, difference, states
from trainables.runtime.ranks import Group
from trainables.self_check.optimizer_step import tolerance_of
from trainables.training import bf16_adamw
from trainables.training.bf16_adamw import Bf16AdamW, is_right, step_ways
from trainables.training.engine import Engine

SETTINGS = {"betas": (0.9, 0.95), "weight_decay": 0.1}
WRONG: dict[MemoryRecipe, float] = {"exact": 1.001, "moments8": 1.1, "remainder": 1.1, "stochastic": 1.05}
"""Times the learning rate: errors that must be found."""
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not used any fast path."""
    monkeypatch.setattr(fast_paths, "_states", {})
    monkeypatch.setattr(fast_paths, "_proved", set())


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with tiny.joined(tmp_path_factory.mktemp("group"), stay=True) as group:
        yield group


def weights() -> list[Tensor]:
    """A small matrix, a bias with large numbers, and what another rank holds."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(24, 16, generator=generator) * 0.05, 30 * torch.randn(40, generator=generator), torch.ones(0)]


def further(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """The update, with a learning rate that is wrong by this factor."""
    right = bf16_adamw._numbers

    def wrong(*given: Any) -> tuple[Tensor, ...]:
        scale, finite, size, *others = right(*given)
        return (scale, finite, factor * size, *others)

    monkeypatch.setattr(bf16_adamw, "_numbers", wrong)


def trained(group: Group, recipe: MemoryRecipe = "exact", state: Path | None = None) -> tuple[Any, Tensor]:
    """The optimizer and the weights after three steps, the last two of them with a new engine if `state` is given."""

    def made() -> Engine:
        workers = WorkersConfig(precision="bf16", memory=recipe)
        return Engine(model(), workers, group, weight_decay=0.1, gradient_clip=0.5)

    engine = made()
    for number in range(3):
        loss = -score(engine.deepspeed, collate(ROWS, 0)).sequence.mean()
        engine.step([loss], learning_rate=1e-2, count=1)
        if state is not None and number == 0:
            save(engine, group, state)
            engine.close()
            engine = made()
            engine.load_state(state)
    optimizer = engine.deepspeed.optimizer
    found = torch.cat([parameter.detach().flatten() for parameter in engine.model.parameters()])
    engine.close()
    return optimizer, found


@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("recipe", RECIPES)
def test_both_ways_agree(recipe: MemoryRecipe, clip: float) -> None:
    tolerance = tolerance_of(RECIPES[recipe])
    fast, plain = step_ways(weights(), RECIPES[recipe], SETTINGS, clip, CPU)
    outcome = plain()
    assert difference(fast(), outcome).values < tolerance * (0.1 if recipe == "exact" else 0.6)
    each = 1 if RECIPES[recipe].masters == "none" else 2
    assert len(outcome.values) == 4 * each, "four steps of two weights, or of their mean"
    assert [float(change.abs().max()) > 0 for change in outcome.values[::each]] == [True, True, False, True]


@pytest.mark.parametrize("recipe", WRONG)
def test_a_wrong_step_is_found(recipe: MemoryRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    further(monkeypatch, WRONG[recipe])
    assert not is_right(weights(), RECIPES[recipe], SETTINGS, 0.5, Group())
    assert states()["own optimizer step"].startswith("off: values differ by ")


@pytest.mark.parametrize("recipe", ["exact", "remainder", "stochastic"])
def test_a_wrong_compiled_update_leaves_the_uncompiled_one(
    recipe: MemoryRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrongly(update: Callable[..., None]) -> Callable[..., None]:
        return lambda scale, finite, size, *others: update(scale, finite, 2 * size, *others)

    expected, _ = step_ways(weights(), RECIPES[recipe], SETTINGS, 0.5, CPU)
    right = expected()
    monkeypatch.setattr(bf16_adamw, "compiles", lambda device: True)
    monkeypatch.setattr(bf16_adamw, "fused", wrongly)
    for _ in range(2):
        assert is_right(weights(), RECIPES[recipe], SETTINGS, 0.5, Group())
        assert states()["own optimizer step"].startswith("off: values differ by ")
    assert all(map(torch.equal, expected().values, right.values)), "steps are uncompiled from now on"


def test_where_no_own_step_is_right_deepspeeds_masters_take_its_place(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, expected = trained(group)
    assert isinstance(own, Bf16AdamW) and states()["own optimizer step"] == "on"
    monkeypatch.setattr(fast_paths, "_states", {})
    monkeypatch.setattr(fast_paths, "_proved", set())
    further(monkeypatch, 1.1)
    other, found = trained(group)
    assert not isinstance(other, Bf16AdamW)
    assert states()["own optimizer step"].startswith("off: values differ by ")
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=TOLERANCE[torch.float32])
    _, resumed = trained(group, state=tmp_path / "state")
    assert torch.equal(resumed, found)


def test_recipes_that_no_other_optimizer_fits_end_with_an_error(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    further(monkeypatch, 1.1)
    with pytest.raises(RuntimeError, match=r"'remainder' needs .* differs .* values differ by .* trial\.memory: exact"):
        trained(group, "remainder")


def test_an_update_that_does_not_compile_runs_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler found")

    torch._dynamo.reset()
    monkeypatch.setattr(bf16_adamw, "compiles", lambda device: True)
    monkeypatch.setattr(compile, "_compiled", cache(partial(torch.compile, backend=cannot)))
    monkeypatch.setattr(compile, "_compiling", {True})
    assert is_right(weights(), RECIPES["exact"], SETTINGS, 0.5, Group())
    assert "no compiler found" in states()["own optimizer step"]
