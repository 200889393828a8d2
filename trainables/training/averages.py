"""What the steps of an epoch came to, over micro-batches and workers. Knows names of terms, not what they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.runtime.ranks import Group
from trainables.training.terms import Seen


class RunningMeans:
    """Running sums of one epoch, kept as tensors so that no step waits for the device."""

    def __init__(self) -> None:
        self.tokens = 0
        self.terms: dict[str, Tensor] = {}

    def add(self, seen: Sequence[Seen]) -> None:
        """Add the parts of one step."""
        for part in seen:
            self.tokens += part.terms.tokens
            found = {"loss": part.loss, "forget_loss": part.terms.forget, "retain_loss": part.terms.retain}
            for name, value in found.items():
                if value is not None:
                    self.terms[name] = self.terms.get(name, torch.zeros_like(value)) + value

    def means(self, group: Group, steps: int) -> dict[str, float]:
        """Shares of all micro-batches and workers add up to each step's loss; the mean is over steps.

        `tokens`: all that were seen.
        """
        mine = {name: float(value) / steps for name, value in self.terms.items()}
        everyone = group.gather([(mine, self.tokens)])
        means = {name: math.fsum(part[name] for part, _ in everyone) for name in mine}
        return {**means, "tokens": sum(tokens for _, tokens in everyone)}
