"""AdamW for bfloat16 weights, in as many bytes per parameter as the memory recipe says, without waiting for the device.

DeepSpeed's own step for half precision (ZeRO stage 0) asks the device for each gradient whether it is finite, and reads
and writes all of them several times more. Here the norm takes one pass over the gradients, and the device itself
decides on clipping and on skipping the step if a gradient is not finite. Where layers are compiled, so is the update:
it reads and writes each number once.

Recipes differ in two ways (`docs/memory.md`). What a small update is added to: masters in float32, or the weights with
the 16 bits that bfloat16 lacks, which is the same number, or the weights alone, rounded stochastically. And the
moments: in float32, or in blocks of 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from trainables.model.compile import compiles, fused, raising_errors
from trainables.model.memory import BLOCK, UPDATE_NUMBERS, Recipe
from trainables.runtime.fast_paths import FastPath, Outcome, Ways, allowed, compared, prove, without
from trainables.runtime.ranks import Group
from trainables.self_check.optimizer_step import NUMBERS, Stepped, both_ways, tolerance_of
from trainables.training.number_formats import join, noise, pack, round_stochastically, split, unpack

_TINY = 1e-6  # added to the norm, as DeepSpeed does
_EPS = 1e-8
_MIX = 0x9E3779B1  # spreads small numbers over 32 bits
_PATH: FastPath = "own optimizer step"
_STATE = ("master", "mean", "mean_scale", "square", "square_scale")


class Bf16AdamW(torch.optim.Optimizer):
    """AdamW (arXiv 1711.05101, algorithm 2) with clipping; a step with infinite or NaN gradients changes nothing.

    Args:
        groups: parameter groups that differ only in `weight_decay`; all parameters are bfloat16 on one device.
        clip: largest norm of the gradient; 0: none.
        seed: of stochastic rounding. Equal seeds, states and gradients give equal weights on every rank and device.

    A parameter whose size is no multiple of BLOCK keeps its moments in float32.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        recipe: Recipe,
        *,
        betas: tuple[float, float],
        weight_decay: float,
        clip: float,
        seed: int = 0,
    ) -> None:
        super().__init__(list(groups), {"lr": 0.0, "betas": betas, "weight_decay": weight_decay})
        self._recipe, self._clip, self._seed = recipe, clip, seed
        for _, weight in self._parameters():
            self.state[weight] = _new_state(weight, recipe)
        device = next(self._parameters())[1].device
        self.taken = torch.zeros((), dtype=torch.int64, device=device)
        """Steps that changed the weights, on the device."""
        self.length = torch.zeros((), device=device)
        """Norm of the last step's gradient before clipping, on the device."""

    def _parameters(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        return ((group, weight) for group in self.param_groups for weight in group["params"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # `closure`: only for the base class
        """Update the weights from their gradients, which are then freed."""
        weights = [weight for _, weight in self._parameters()]
        found = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        self.length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found, 2, torch.float32)))
        finite = self.length.isfinite()
        self.taken += finite
        group, *_ = self.param_groups
        numbers = _numbers(group["lr"], group["betas"], self.taken, self.length, self._clip, finite)
        decays = {
            each["weight_decay"]: torch.full_like(self.length, 1 - group["lr"] * each["weight_decay"])
            for each in self.param_groups
        }
        places = torch.arange(len(weights), device=self.taken.device)
        keys = ((self.taken + 31 * places) * _MIX + self._seed) & 0xFFFFFFFF
        one_pass = compiles(self.length.device) and allowed(_PATH)
        for (group, weight), gradient, key in zip(self._parameters(), found, keys.unbind(), strict=True):
            state = self.state[weight]
            update = _update_of(self._recipe, "mean_scale" in state)
            rows = [_rows(tensor, weight) for tensor in (weight.detach(), gradient, *_in_order(state))]
            for part, first in [(rows, 0)] if one_pass else _parts(rows):
                start = torch.full_like(self.taken, first)
                (fused(update) if one_pass else update)(*numbers, decays[group["weight_decay"]], key, start, *part)
        for weight in weights:
            weight.grad = None

    def masters(self) -> list[Tensor]:
        """The weights in float32, as exactly as the recipe keeps them."""
        read, _ = _MASTERS[self._recipe.masters]
        each = ((weight.detach(), self.state[weight].get("master")) for _, weight in self._parameters())
        return [read(weight) if master is None else read(weight, master) for weight, master in each]

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on, apart from the weights, by the parameters' order."""
        return {"taken": self.taken, "state": [dict(self.state[weight]) for _, weight in self._parameters()]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Raises ValueError if the state is that of another recipe or model."""
        mine, saved = [self.state[weight] for _, weight in self._parameters()], state_dict.get("state", ())
        forms = [
            [{name: (tensor.shape, tensor.dtype) for name, tensor in each.items()} for each in of]
            for of in (mine, saved)
        ]
        if forms[0] != forms[1]:
            raise ValueError(
                "the optimizer's saved state must be of this model and this trial.memory; it was written with others, "
                "or by an earlier version of Letheon: start the trial again"
            )
        self.taken.copy_(state_dict["taken"])
        for own, other in zip(mine, saved, strict=True):
            for name, tensor in own.items():
                tensor.copy_(other[name])


def is_right(weights: Sequence[Tensor], recipe: Recipe, settings: Mapping[str, Any], clip: float, group: Group) -> bool:
    """Whether `Bf16AdamW` updates samples of these weights as plain AdamW does: compiled or, from the first difference
    in this process on, uncompiled. `settings`: `betas` and `weight_decay`. Every rank must call this.
    """
    device = torch.device(group.device)
    ways, tolerance = step_ways(weights, recipe, settings, clip, device), tolerance_of(recipe)
    if prove(_PATH, (str(device), recipe, compiles(device)), ways, tolerance, group):
        return True
    with without(_PATH):
        return all(group.gather([compared(_PATH, ways, tolerance).startswith("on")]))


def step_ways(
    weights: Sequence[Tensor],
    recipe: Recipe,
    settings: Mapping[str, Any],
    clip: float,
    device: torch.device,
    numbers: int = NUMBERS,
) -> Ways:
    """`Bf16AdamW`, which compiles or raises, and plain AdamW, on samples of these weights. Runs nothing yet."""

    def make(mine: list[Tensor], rate: float) -> Stepped:
        adam = Bf16AdamW([{"params": mine, "lr": rate}], recipe, clip=clip, **settings)
        return Stepped(adam.step, adam.masters)

    own, plain = both_ways(make, weights, recipe, settings, clip, device, numbers)

    def fast() -> Outcome:
        with raising_errors():
            return own()

    return fast, plain


def _width(weight: Tensor) -> int:
    return BLOCK if weight.numel() % BLOCK == 0 else 1


def _rows(tensor: Tensor, weight: Tensor) -> Tensor:
    """A tensor of the weight's size as (rows, width); scales are one per row already."""
    return tensor.view(-1, _width(weight)) if tensor.numel() == weight.numel() else tensor


def _in_order(state: Mapping[str, Tensor]) -> list[Tensor]:
    return [state[name] for name in _STATE if name in state]


def _new_state(weight: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    """The state before the first step: masters equal to the weights, moments 0."""
    state: dict[str, Tensor] = {}
    if recipe.masters == "float32":
        state["master"] = weight.detach().float()
    elif recipe.masters == "remainder":
        state["master"] = torch.zeros_like(weight, dtype=torch.int16)
    for name in ("mean", "square"):
        if recipe.small_moments and _width(weight) == BLOCK:
            state[name] = torch.zeros_like(weight, dtype=torch.uint8)
            state[f"{name}_scale"] = torch.zeros((weight.numel() // BLOCK, 1), device=weight.device)
        else:
            state[name] = torch.zeros_like(weight, dtype=torch.float32)
    return state


def _numbers(
    rate: float, betas: tuple[float, float], taken: Tensor, length: Tensor, clip: float, finite: Tensor
) -> tuple[Tensor, ...]:
    """The numbers that all parameters share, float32 without dimensions, on the device."""
    steps = taken.double().clamp(min=1)  # 0: no finite step yet, and this one changes nothing
    scale = ((length + _TINY) / (clip or torch.inf)).clamp(min=1)
    size, root = rate / (1 - betas[0] ** steps), (1 - betas[1] ** steps).rsqrt()
    known = (torch.full_like(length, 1 - beta) for beta in betas)
    return (*torch.stack([scale.double(), finite.double(), size, root]).float().unbind(), *known)


def _parts(rows: list[Tensor]) -> Iterator[tuple[list[Tensor], int]]:
    """Slices of at most UPDATE_NUMBERS numbers, and the place of their first: the update's temporaries stay small."""
    count, width = rows[0].shape
    for start in range(0, count, most := UPDATE_NUMBERS // width):
        yield [tensor[start : start + most] for tensor in rows], start * width


@cache
def _update_of(recipe: Recipe, small: bool) -> Callable[..., None]:
    """The update of one parameter, in place. Its tensors are (rows, width), or (rows, 1) for scales.

    `finite`: nothing changes if it is 0. `rest1`, `rest2`: 1 - beta; `size`: rate / (1 - beta1^t); `root`:
    1 / sqrt(1 - beta2^t); `decay`: 1 - rate * decay.
    """
    read_weight, new_weight = _MASTERS[recipe.masters]
    kept = 0 if recipe.masters == "none" else 1

    def update(  # noqa: PLR0913, PLR0917
        scale: Tensor,
        finite: Tensor,
        size: Tensor,
        root: Tensor,
        rest1: Tensor,
        rest2: Tensor,
        decay: Tensor,
        key: Tensor,
        first: Tensor,
        weight: Tensor,
        gradient: Tensor,
        *state: Tensor,
    ) -> None:
        masters, moments = state[:kept], state[kept:]
        half = len(moments) // 2
        exact = gradient.float() / scale
        mean = _read(moments[:half], signed=True)
        mean = mean + rest1 * (exact - mean)
        square = _read(moments[half:], signed=False)
        square = square + rest2 * (exact * exact - square)
        new = read_weight(weight, *masters) * decay - size * mean / (square.sqrt() * root + _EPS)
        parts = [*new_weight(new, weight, key, first), *_written(mean, True, small), *_written(square, False, small)]
        for place, part in zip((weight, *state), parts, strict=True):
            place.copy_(torch.where(finite > 0, part, place))

    return update


def _rounded(new: Tensor, weight: Tensor, key: Tensor, first: Tensor) -> tuple[Tensor, ...]:
    return (round_stochastically(new, noise(weight, key, first)),)


_MASTERS: Mapping[str, tuple[Callable[..., Tensor], Callable[..., tuple[Tensor, ...]]]] = {
    "float32": (lambda weight, master: master, lambda new, weight, *_: (new.to(weight.dtype), new)),
    "remainder": (join, lambda new, *_: split(new)),
    "none": (lambda weight: weight.float(), _rounded),
}
"""How to read the float32 value of a weight, and what to write of a new one: the weight, and its master if any."""


def _written(moment: Tensor, signed: bool, small: bool) -> tuple[Tensor, ...]:
    return pack(moment, signed) if small else (moment,)


def _read(parts: tuple[Tensor, ...], signed: bool) -> Tensor:
    return unpack(parts[0], parts[1], signed) if len(parts) > 1 else parts[0]
