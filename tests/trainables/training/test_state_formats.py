"""A bf16 state moves between Letheon's own optimizer and DeepSpeed's, either way, and no bit of it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.trainables.training.engine_runs import model, step
from trainables.model.memory import RECIPES
from trainables.runtime.ranks import Group
from trainables.training import engine as engines
from trainables.training.bf16_adamw import Bf16AdamW
from trainables.training.engine import Engine
from trainables.training.state_formats import as_deepspeed, as_own

Numbers = dict[str, torch.Tensor]


def of_own(state: Mapping[str, Any]) -> Numbers:
    found = {f"{i}-{name}": each[name] for i, each in enumerate(state["state"]) for name in each}
    return {**found, "taken": state["taken"].float()}


def of_deepspeed(state: Mapping[str, Any]) -> Numbers:
    adam = state["optimizer_state_dict"]["state"]
    found = {f"{i}-master": master for i, master in enumerate(chain(*state["fp32_groups"]))}
    found |= {f"{i}-mean": each["exp_avg"] for i, each in adam.items()}
    found |= {f"{i}-square": each["exp_avg_sq"] for i, each in adam.items()}
    steps = {float(each["step"]) for each in adam.values()}
    return {**found, "taken": torch.tensor(steps.pop())} if len(steps) == 1 else {}


NUMBERS: dict[str, Callable[[Mapping[str, Any]], Numbers]] = {"own": of_own, "deepspeed": of_deepspeed}


@contextmanager
def engine(kind: str, group: Group) -> Iterator[Engine]:
    """With Letheon's own step, or with the one that takes its place where the own one proves wrong."""
    checks: Any = engines
    right = checks.is_right
    checks.is_right = right if kind == "own" else lambda *_: False
    made = Engine(model(), tiny.workers(0, "bf16", 4, group.size), group, weight_decay=0.01, decay_norms=False)
    checks.is_right = right
    assert isinstance(made.deepspeed.optimizer, Bf16AdamW) == (kind == "own")
    yield made
    made.close()


def numbers(kind: str, made: Engine) -> Numbers:
    return {
        name: each.detach().cpu().clone() for name, each in NUMBERS[kind](made.deepspeed.optimizer.state_dict()).items()
    }


def work(group: Group, folder: Path) -> None:
    """Two steps with each, the state loaded into the other, and one more step of both."""
    facts: dict[str, Any] = {}
    for kind, other in (("own", "deepspeed"), ("deepspeed", "own")):
        with engine(kind, group) as first:
            step(first, group, 4)
            step(first, group, 4)
            first.save_state(folder / kind)
            group.barrier()
            saved, weights = numbers(kind, first), tiny.copied(first.weights())
            step(first, group, 4)
            went_on = numbers(kind, first)
        with engine(other, group) as second:
            second.load_state(folder / kind)
            loaded, same = numbers(other, second), tiny.same(weights, tiny.copied(second.weights()))
            step(second, group, 4)
            facts[kind] = {
                "taken": float(saved["taken"]),
                "same": same and tiny.same(saved, loaded),
                "apart": tiny.distance(went_on, numbers(other, second)),
                "moved": tiny.distance(went_on, saved),
            }
    if group.rank == 0:
        (folder / f"{group.size}.json").write_text(json.dumps(facts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for size in (1, 2):
        tiny.spawned(work, folder, sizes=(size,))
    return folder


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["own", "deepspeed"])
def test_the_other_optimizer_goes_on_from_the_same_bits(folder: Path, kind: str, workers: int) -> None:
    found = json.loads((folder / f"{workers}.json").read_text())[kind]
    assert found["taken"] == 2.0 and found["same"]
    assert found["moved"] > 1e-3 and found["apart"] < 1e-5


def test_a_state_that_is_already_right_is_left_alone() -> None:
    mine: dict[str, Any] = {"taken": torch.tensor(1), "state": []}
    theirs: dict[str, Any] = {"fp32_groups": []}
    assert as_own(mine) is mine and as_deepspeed(theirs, {}) is theirs


@pytest.mark.parametrize("recipe", ["moments8", "remainder", "stochastic"])
def test_a_state_without_masters_or_exact_moments_is_refused_with_what_to_do(recipe: str) -> None:
    weight = torch.nn.Parameter(torch.zeros(256, dtype=torch.bfloat16))
    adam = Bf16AdamW([{"params": [weight]}], RECIPES[recipe], betas=(0.9, 0.999), weight_decay=0.0, clip=1.0)  # type: ignore[index]
    fresh = {"fp32_groups": [[weight.detach().float()]], "optimizer_state_dict": {}}
    with pytest.raises(ValueError, match=r"trial\.memory exact.*doctor --fast-paths.*start the trial again"):
        as_deepspeed(adam.state_dict(), fresh)
    exact = Bf16AdamW([{"params": [weight]}], RECIPES["exact"], betas=(0.9, 0.999), weight_decay=0.0, clip=1.0)
    two = {**fresh, "fp32_groups": [[weight.detach().float()] * 2]}
    with pytest.raises(ValueError, match="must have float32 masters"):
        as_deepspeed(exact.state_dict(), two)  # of another model
