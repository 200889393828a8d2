"""Means of the loss terms over an epoch's steps, across micro-batches and workers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypedDict

import torch
from torch import Tensor

from trainables.runtime.ranks import Group
from trainables.training.terms import MicroBatchResult


class StepProgress(TypedDict):
    """The arguments of `runtime.progress.Stage.step` that a training step knows."""

    tokens: int
    loss: Callable[[], float]


def progress_of(results: Sequence[MicroBatchResult], group: Group) -> StepProgress:
    """A step's tokens and loss, from this rank's micro-batches as if the other ranks had the same."""
    return {
        "tokens": group.size * sum(part.terms.tokens for part in results),
        "loss": lambda: group.size * math.fsum(float(part.loss) for part in results),
    }


class RunningMeans:
    """Running sums over one epoch, kept as tensors so that no step waits for the device."""

    def __init__(self) -> None:
        self.tokens = 0
        self.terms: dict[str, Tensor] = {}

    def add(self, results: Sequence[MicroBatchResult]) -> None:
        """Add the micro-batches of one step."""
        for part in results:
            self.tokens += part.terms.tokens
            found = {"loss": part.loss, "forget_loss": part.terms.forget, "retain_loss": part.terms.retain}
            for name, value in found.items():
                if value is not None:
                    self.terms[name] = self.terms.get(name, torch.zeros_like(value)) + value

    def means(self, group: Group, steps: int) -> dict[str, float]:
        """Means over `steps` steps, a step's loss being the sum over its micro-batches on all workers.

        `tokens`: the total.
        """
        mine = {name: float(value) / steps for name, value in self.terms.items()}
        everyone = group.gather([(mine, self.tokens)])
        means = {name: math.fsum(part[name] for part, _ in everyone) for name in mine}
        return {**means, "tokens": sum(tokens for _, tokens in everyone)}
