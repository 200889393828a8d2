"""The optimizer for bf16 weights against float32 AdamW, under each memory recipe, uncompiled and compiled."""

from __future__ import annotations

import shutil
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from trainables.config import MemoryRecipe
from trainables.model import compile, memory
from trainables.model.memory import BLOCK, RECIPES
from trainables.training import bf16_adamw
from trainables.training.bf16_adamw import Bf16AdamW

CLIP, RATE, DECAY = 0.5, 1e-3, 0.1
SHAPES = ((16, BLOCK), (3, BLOCK), (BLOCK + 1,), (7,))
SAME_ARITHMETIC: tuple[MemoryRecipe, ...] = ("moments8", "remainder")
ALL: tuple[MemoryRecipe, ...] = ("exact", "moments8", "remainder", "stochastic")


@pytest.fixture(params=["eager", "compiled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        torch._dynamo.reset()
        monkeypatch.setattr(bf16_adamw, "compiles", lambda device: True)
        monkeypatch.setattr(compile, "_compiled", cache(partial(torch.compile, backend="aot_eager")))


def weights() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator).mul(0.02).bfloat16().requires_grad_() for shape in SHAPES]


def gradients(step: int, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [(torch.randn(shape, generator=generator) * scale + 0.1 * scale).bfloat16() for shape in SHAPES]


def optimizer(of: list[Tensor], recipe: MemoryRecipe, clip: float = CLIP, seed: int = 0) -> Bf16AdamW:
    groups: list[dict[str, Any]] = [{"params": of[:2]}, {"params": of[2:], "weight_decay": 0.0}]
    made = Bf16AdamW(groups, RECIPES[recipe], betas=(0.9, 0.999), weight_decay=DECAY, clip=clip, seed=seed)
    for group in made.param_groups:
        group["lr"] = RATE
    return made


def take(adam: Bf16AdamW, of: list[Tensor], found: list[Tensor]) -> None:
    for weight, gradient in zip(of, found, strict=True):
        weight.grad = gradient.clone()
    adam.step()


def reference(steps: int) -> list[Tensor]:
    """torch.optim.AdamW on float32 weights, with the same clipped gradients."""
    exact = [weight.detach().float().requires_grad_() for weight in weights()]
    groups: list[dict[str, Any]] = [{"params": exact[:2]}, {"params": exact[2:], "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), weight_decay=DECAY)
    for step in range(steps):
        for weight, gradient in zip(exact, gradients(step, 10.0**-step), strict=True):
            weight.grad = gradient.float()
        torch.nn.utils.clip_grad_norm_(exact, CLIP)
        adam.step()
    return [weight.detach() for weight in exact]


@pytest.mark.usefixtures("way")
def test_the_exact_recipe_is_adamw_on_float32_masters_with_clipping() -> None:
    mine = weights()
    adam = optimizer(mine, "exact")
    for step in range(4):  # clipped at first, then not
        take(adam, mine, gradients(step, 10.0**-step))
    for found, expected, weight in zip(adam.masters(), reference(4), mine, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
        assert torch.equal(weight.detach(), found.bfloat16())
    length = torch.cat([gradient.float().flatten() for gradient in gradients(3, 1e-3)]).norm()
    assert float(adam.length) == pytest.approx(float(length), rel=1e-5)


@pytest.mark.usefixtures("way")
def test_the_remainder_of_the_masters_is_the_masters() -> None:
    found = []
    for recipe in SAME_ARITHMETIC:
        mine = weights()
        adam = optimizer(mine, recipe)
        for step in range(4):
            take(adam, mine, gradients(step))
        found.append(adam.masters())
    assert all(map(torch.equal, *found))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
@pytest.mark.parametrize("recipe", ALL)
def test_nonfinite_gradients_change_nothing(recipe: MemoryRecipe, scale: float) -> None:
    mine, others = weights(), weights()
    with_one, without = optimizer(mine, recipe), optimizer(others, recipe)
    for adam, of in ((with_one, mine), (without, others)):
        take(adam, of, gradients(0))
    take(with_one, mine, gradients(1, scale))
    assert int(with_one.taken) == 1 and all(weight.grad is None for weight in mine)
    for adam, of in ((with_one, mine), (without, others)):
        take(adam, of, gradients(2))
    assert all(map(torch.equal, mine, others)) and int(with_one.taken) == 2


@pytest.mark.parametrize("recipe", ALL)
def test_a_state_that_is_saved_and_loaded_continues_with_the_same_bits(recipe: MemoryRecipe) -> None:
    mine = weights()
    adam = optimizer(mine, recipe, seed=3)
    for step in range(3):
        take(adam, mine, gradients(step))
    again = [weight.detach().clone().requires_grad_() for weight in mine]
    restored = optimizer(again, recipe, seed=3)
    restored.load_state_dict(adam.state_dict())
    for step in range(3, 6):
        take(adam, mine, gradients(step))
        take(restored, again, gradients(step))
    assert all(map(torch.equal, mine, again))
    other = optimizer(weights(), "exact" if recipe != "exact" else "stochastic")
    with pytest.raises(ValueError, match=r"must be of this model and this trial\.memory"):
        other.load_state_dict(adam.state_dict())


def test_stochastic_rounding_follows_its_seed() -> None:
    found = []
    for seed in (0, 0, 1):
        mine = weights()
        take(optimizer(mine, "stochastic", seed=seed), mine, gradients(0))
        found.append(mine[0].detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("recipe", ALL)
def test_the_update_does_not_depend_on_how_many_numbers_it_works_on_at_a_time(
    recipe: MemoryRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for numbers in (memory.UPDATE_NUMBERS, 2 * BLOCK):
        monkeypatch.setattr(bf16_adamw, "UPDATE_NUMBERS", numbers)
        mine = weights()
        take(optimizer(mine, recipe), mine, gradients(0))
        found.append(mine)
    assert all(map(torch.equal, *found))


def test_without_clipping_long_gradients_stay_long() -> None:
    mine = [torch.zeros(2, dtype=torch.bfloat16, requires_grad=True)]
    adam = Bf16AdamW([{"params": mine}], RECIPES["exact"], betas=(0.0, 0.5), weight_decay=0.0, clip=0.0)
    adam.param_groups[0]["lr"] = 0.1
    take(adam, mine, [torch.tensor([30.0, 40.0]).bfloat16()])
    assert adam.state[mine[0]]["square"].tolist() == [450.0, 800.0]  # half of the squares


@pytest.mark.slow  # a compiler runs
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
@pytest.mark.parametrize("recipe", ALL)
def test_one_compilation_serves_tensors_of_all_sizes(recipe: MemoryRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, mine = [torch.randn(rows, BLOCK).bfloat16().requires_grad_() for rows in (2, 33, 100, 64)], []
    mine = [weight.detach().clone().requires_grad_() for weight in plain]
    for of, compiled in ((plain, False), (mine, True)):
        torch._dynamo.reset()
        counters.clear()
        compile._compiled.cache_clear()
        monkeypatch.setattr(bf16_adamw, "compiles", lambda device, compiled=compiled: compiled)
        adam = Bf16AdamW([{"params": of}], RECIPES[recipe], betas=(0.9, 0.999), weight_decay=DECAY, clip=CLIP)
        adam.param_groups[0]["lr"] = RATE
        for step in range(2):
            generator = torch.Generator().manual_seed(step)
            take(adam, of, [torch.randn(weight.shape, generator=generator).bfloat16() for weight in of])
    assert counters["stats"]["unique_graphs"] == 1
    near = 2.0**-8 * RATE  # the compiler may fuse a product and a sum; that moves single roundings
    for one, other in zip(plain, mine, strict=True):
        apart = (one.detach().float() - other.detach().float()).abs()
        assert float((apart > one.detach().float().abs() * 2.0**-7 + near).float().mean()) == 0
        assert float((apart > 0).float().mean()) < 0.02
