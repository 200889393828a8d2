"""The model: two logits, (features . weights, 0). Also its `Scores` of rows, and the distance between two models.

Everything is float64 with a first dimension of seeds: one independent model per problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.batching.scores import Scores
from trainables.synthetic.data import Problems


def logits(features: Tensor, weights: Tensor) -> Tensor:
    """(seeds, rows, 2) from features (seeds, rows, 128) and weights (seeds, 128)."""
    first = (features @ weights.unsqueeze(-1)).squeeze(-1)
    return torch.stack([first, torch.zeros_like(first)], -1)


def score(logits: Tensor, labels: Tensor) -> Scores:
    """Scores of labels (seeds, rows) as one-token answers, vocabulary 2, with seeds * rows rows, seeds first."""
    log_probs = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1))
    return Scores(
        token_log_probs=log_probs.flatten(0, 1),
        mask=torch.ones(labels.numel(), 1, dtype=torch.bool),
        logits=logits.flatten(0, 1).unsqueeze(1),
        targets=labels.reshape(-1, 1),
    )


def divergence(reference: Tensor, model: Tensor) -> Tensor:
    """(seeds,) mean over rows of KL(reference || model), nats, from logits (seeds, rows, 2)."""
    log_p, log_q = reference.log_softmax(-1), model.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1)


@dataclass(frozen=True)
class Measured:
    """All (seeds,). `trainables.evaluation.metrics.synthetic` defines the names."""

    forget_kl: Tensor
    retain_kl: Tensor
    forget_kl_to_target: Tensor
    retain_kl_to_target: Tensor
    weight_drift: Tensor
    utility_ratio: Tensor

    def of(self, seed: int) -> dict[str, float]:
        """The numbers of the problem at this index."""
        return {name: float(values[seed]) for name, values in vars(self).items()}

    def means(self) -> dict[str, float]:
        """Means over the seeds."""
        return {name: float(values.mean()) for name, values in vars(self).items()}


class Yardstick:
    """Measures models (weights (seeds, 128)) against the target and the retain model of each problem."""

    def __init__(self, problems: Problems, target: Tensor, retain: Tensor) -> None:
        self._inputs = (problems.forget_evaluation, problems.retain_evaluation)
        self._target = target
        self._by_target = tuple(logits(features, target) for features in self._inputs)
        self._by_retain = tuple(logits(features, retain) for features in self._inputs)
        self._target_retain_kl = divergence(self._by_retain[1], self._by_target[1])

    @torch.no_grad()
    def measure(self, weights: Tensor) -> Measured:
        """`utility_ratio` = exp(target's retain_kl - retain_kl): the geometric mean of p(label) / p_target(label) over
        retain inputs, with labels drawn from the retain model.
        """
        forget, retain = (logits(features, weights) for features in self._inputs)
        retain_kl = divergence(self._by_retain[1], retain)
        return Measured(
            forget_kl=divergence(self._by_retain[0], forget),
            retain_kl=retain_kl,
            forget_kl_to_target=divergence(self._by_target[0], forget),
            retain_kl_to_target=divergence(self._by_target[1], retain),
            weight_drift=(weights - self._target).norm(dim=-1),
            utility_ratio=(self._target_retain_kl - retain_kl).exp(),
        )
