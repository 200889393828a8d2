"""The fast paths of this process: each proves itself against the plain one at its first use, or is switched off.

A fast path computes what the plain code computes, in less time. At its first use with a kind of model both get the same
real inputs, and their values and gradients must agree. What differs or raises is off from then on, for all models of
the process: one line in the log says so, and the work goes on the plain way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from trainables.runtime.ranks import Group

FastPath: TypeAlias = Literal[
    "packed rectangles",
    "packed attention kernel",
    "lean layers",
    "compiled layers",
    "own optimizer step",
    "recorded decoding",
    "prefix tree",
]
FAST_PATHS: tuple[FastPath, ...] = get_args(FastPath)
TOLERANCE: Mapping[torch.dtype, float] = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.bfloat16: 3e-2,
    torch.float16: 5e-3,
}
"""The largest `Difference` by dtype: a few times what rounding in another order does to one layer in half precision,
and a hundred times that in float32.
"""
_SMALLEST = 1e-2  # of the longest gradient: below it, a gradient's own length says nothing about its error
_LONGEST = 300  # characters of an error
_MEMORY = (torch.OutOfMemoryError, MemoryError)
_LOG = logging.getLogger(__name__)
_states: dict[FastPath, str] = {}
_proved: set[tuple[FastPath, Hashable]] = set()
_without: list[FastPath] = []


class Outcome(NamedTuple):
    """What a path computed; both paths list their tensors in the same order. `gradients`: empty if there are none."""

    values: Sequence[Tensor]
    gradients: Sequence[Tensor] = ()


Ways: TypeAlias = tuple[Callable[[], Outcome], Callable[[], Outcome]]
"""What computes the fast path's outcome, and the plain one's, of the same inputs."""


class Difference(NamedTuple):
    """The largest relative error of a tensor among the values and among the gradients (None if there are none)."""

    values: float
    gradients: float | None


def difference(fast: Outcome, plain: Outcome) -> Difference:
    """How far the fast outcome is from the plain one: the largest |fast - plain| / |plain| of a tensor. Pure.

    |plain| counts as at least a hundredth of the largest one of its kind. Another number of tensors, another shape,
    another integer, or a NaN or infinity on one side only, is an infinite difference.
    """
    gradients = _largest(fast.gradients, plain.gradients) if plain.gradients or fast.gradients else None
    return Difference(_largest(fast.values, plain.values), gradients)


def _largest(fast: Sequence[Tensor], plain: Sequence[Tensor]) -> float:
    if [each.shape for each in fast] != [each.shape for each in plain]:
        return float("inf")
    both = [(one.detach(), other.detach()) for one, other in zip(fast, plain, strict=True)]
    if any(not torch.equal(one, other) for one, other in both if not other.is_floating_point()):
        return float("inf")
    pairs = [(one.double(), other.double()) for one, other in both if other.is_floating_point()]
    pairs = [(one, other) for one, other in pairs if other.numel()]
    lengths = [float(other.nan_to_num(0.0, 0.0, 0.0).norm()) for _, other in pairs]
    floor = _SMALLEST * max(lengths, default=0.0)
    shares = [
        float(_apart(one, other).norm()) / (max(length, floor) or 1.0)
        for (one, other), length in zip(pairs, lengths, strict=True)
    ]
    return max(shares, default=0.0)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """|one - other|; 0 where both are NaN or the same infinity, infinite where only one is."""
    same = (one == other) | (one.isnan() & other.isnan())
    return torch.where(same, 0.0, (one - other).abs()).nan_to_num(torch.inf, torch.inf)


def disagreement(found: Difference, tolerance: float) -> str | None:
    """Why the paths count as different, in a few words; None if they agree. Pure."""
    if found.values <= tolerance and (found.gradients is None or found.gradients <= tolerance):
        return None
    gradients = "" if found.gradients is None else f" and gradients by {found.gradients:.1e}"
    return f"values differ by {found.values:.1e}{gradients} (relative error), allowed are {tolerance:.0e}"


def raised(error: Exception) -> str:
    """The error in one line of at most 300 characters."""
    return f"it raised {type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST]


def allowed(path: FastPath) -> bool:
    """Whether the path may be used."""
    return path not in _without and not _states.get(path, "").startswith("off")


@contextmanager
def without(*paths: FastPath) -> Iterator[None]:
    """Within the block these paths are not allowed, to compute the plain outcome."""
    _without.extend(paths)
    try:
        yield
    finally:
        del _without[len(_without) - len(paths) :]


def prove(path: FastPath, kind: Hashable, ways: Ways, tolerance: float, group: Group | None = None) -> bool:
    """Whether the path may be used, after its two ways were compared once per process and `kind` of model.

    With None as `kind` they are compared in every call. With a `group` every rank must call this, and all use the path
    or none does. What the plain way raises says nothing about the path, which stays in use without a comparison. Raises
    only when memory runs out.
    """
    if not allowed(path):
        return False
    if (path, kind) in _proved:
        return True
    state = compared(path, ways, tolerance)
    states = [state] if group is None else group.gather([state])
    refused = [each for each in states if each.startswith("off: ")]
    if refused:
        switch_off(path, refused[0].removeprefix("off: "))
        return False
    if kind is not None:
        _proved.add((path, kind))
    _states[path] = state
    return True


def compared(path: FastPath, ways: Ways, tolerance: float) -> str:
    """The state that follows from a comparison, which is not kept."""
    fast, plain = ways
    started = time.perf_counter()
    try:
        expected = plain()
    except _MEMORY:
        raise
    except Exception as error:
        _LOG.warning(
            "fast path %r is on without a comparison: the plain path cannot run alone, %s", path, raised(error)
        )
        return f"on, not compared: {raised(error)}"
    try:
        why = disagreement(difference(fast(), expected), tolerance)
    except _MEMORY:
        raise
    except Exception as error:  # whatever a fast path raises, the plain one goes on
        why = raised(error)
    if why is not None:
        return f"off: {why}"
    _LOG.info("fast path %r agrees with the plain one (%.2f s)", path, time.perf_counter() - started)
    return "on"


def switch_off(path: FastPath, why: str) -> None:
    """Use the plain path for the rest of this process, and say so once."""
    if allowed(path):
        _states[path] = f"off: {why}"
        _LOG.warning("fast path %r is off in this process: %s; the trial goes on with the plain path", path, why)


def states() -> dict[FastPath, str]:
    """`on`, `off: reason` or `not used` of every path in this process."""
    return {path: _states.get(path, "not used") for path in FAST_PATHS}


def combined(ranks: Sequence[Mapping[FastPath, str]]) -> str:
    """The states of all ranks in one line: a path that is off on any rank counts as off, else as on if used on any."""

    def worst(path: FastPath) -> str:
        return max(
            (states[path] for states in ranks), key=lambda state: (state.startswith("off"), state.startswith("on"))
        )

    return "; ".join(f"{path}: {worst(path)}" for path in FAST_PATHS)
