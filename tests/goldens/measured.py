"""What is kept of a loss and its gradient: enough to tell two gradients apart to the last digits, in few numbers.

Beside lengths there are inner products with fixed random directions: for a difference d of two gradients they differ
by numbers of the size of |d|.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from tests.goldens.exact_model import ExactLlama, exact_model, reference_model, uniforms
from tests.goldens.loss_rows import Micro, Partition, Tokenization

DIRECTIONS = tuple(range(31, 37))
"""Seeds of the directions."""

Gradient = dict[str, Tensor]


@dataclass(frozen=True)
class Worker:
    """A peer's code, ready to take micro-batches one after another, as one process of theirs does.

    `loss`: of one micro-batch; it has a graph, or else has left the gradient of the step in the parameters.
    `afterwards`: what else the code has come to.
    """

    loss: Callable[[Micro], Tensor]
    afterwards: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True)
class Setting:
    """What a worker starts from. `model` is its own copy."""

    model: ExactLlama
    reference: ExactLlama
    tokens: Tokenization


@dataclass(frozen=True)
class Case:
    """One loss of a peer. `code`: file and function. `against`: the case that its distance is measured to."""

    name: str
    peer: str
    code: str
    hyper: Mapping[str, Any]
    start: Callable[[Setting], Worker]
    partitions: tuple[str, ...] = ("one",)
    note: str = ""
    against: str = ""


@dataclass(frozen=True)
class Found:
    """Loss of a whole step (the mean over the micro-batches of all workers) and its gradient."""

    loss: float
    gradient: Gradient
    afterwards: list[dict[str, Any]] = field(default_factory=list)

    def record(self, each_parameter: bool) -> dict[str, Any]:
        """As JSON. `each_parameter`: also the length of the gradient of every parameter, in order of their names."""
        record: dict[str, Any] = {"loss": self.loss, **summary(self.gradient)}
        if each_parameter:
            record["lengths"] = lengths(self.gradient)
        if any(self.afterwards):
            record["workers"] = self.afterwards
        return record

    def distance(self, other: Found) -> dict[str, float]:
        """Relative distances of loss and gradient from the other's, and the cosine of the gradients."""
        mine, theirs = flat(self.gradient), flat(other.gradient)
        return {
            "loss": abs(self.loss - other.loss) / abs(other.loss),
            "gradient": float((mine - theirs).norm() / theirs.norm()),
            "cosine": float(mine @ theirs / (mine.norm() * theirs.norm())),
        }


def step(case: Case, tokens: Tokenization, partition: Partition) -> Found:
    """One step of the peer's code: every worker for itself, then the mean of all micro-batches."""
    count = sum(len(mine) for mine in partition.workers)
    loss, gradient, afterwards = 0.0, dict[str, Tensor](), []
    for mine in partition.workers:
        model = exact_model()
        worker = case.start(Setting(model, reference_model(), tokens))
        for places in mine:
            model.zero_grad()
            with redirect_stdout(StringIO()):  # some of them print
                of_micro = worker.loss(tokens.rows.at(places))
            if of_micro.requires_grad:
                of_micro.backward()  # type: ignore[no-untyped-call]
            loss += float(of_micro) / count
            for name, parameter in model.named_parameters():
                found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                gradient[name] = gradient.get(name, torch.zeros_like(found)) + found / count
        afterwards.append(dict(worker.afterwards()))
    return Found(loss, gradient, afterwards)


def flat(gradient: Gradient) -> Tensor:
    """One after another, in order of the names."""
    return torch.cat([gradient[name].detach().flatten().double() for name in sorted(gradient)])


def summary(gradient: Gradient) -> dict[str, Any]:
    """Length, and inner products with the directions."""
    whole = flat(gradient)
    return {"length": float(whole.norm()), "along": [float(whole @ direction(seed, len(whole))) for seed in DIRECTIONS]}


def lengths(gradient: Gradient) -> list[float]:
    """Norm of each parameter's gradient, in order of the names."""
    return [float(gradient[name].norm()) for name in sorted(gradient)]


@cache
def direction(seed: int, size: int) -> Tensor:
    """(size,) numbers of mean 0 and variance 1."""
    return torch.from_numpy(uniforms(seed, size))
