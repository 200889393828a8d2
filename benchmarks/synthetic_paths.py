"""The paths that methods take through forget and retain quality, for several seeds at once, and the paper's claims.

Tensors in, tensors out: who prints or draws them is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from trainables.config import Hyperparameters
from trainables.synthetic.data import Problems, draw
from trainables.synthetic.model import Measured, Yardstick
from trainables.synthetic.train import PRETRAINING_STEPS, Unlearning, pretrain

PAPER_SEEDS = (1000, 2000, 3000, 4000, 5000)


@dataclass(frozen=True)
class World:
    """Problems, target weights and retain weights (seeds, 128)."""

    problems: Problems
    target: Tensor
    retain: Tensor

    @property
    def yardstick(self) -> Yardstick:
        return Yardstick(self.problems, self.target, self.retain)


def make_world(alpha: float, seeds: Sequence[int], pretraining_steps: int = PRETRAINING_STEPS) -> World:
    """Draw the problems and pre-train both models of each."""
    problems = draw(alpha, seeds)
    target = pretrain(problems.retain.joined(problems.forget), pretraining_steps)
    return World(problems, target, pretrain(problems.retain, pretraining_steps))


@dataclass(frozen=True)
class Path:
    """`steps`: (points,) int64. The metrics of `measured` are (points, seeds)."""

    steps: Tensor
    measured: Measured

    @property
    def best(self) -> Tensor:
        """(seeds,) index of the point with the lowest forget_kl."""
        return self.measured.forget_kl.argmin(0)

    def at(self, metric: Tensor, points: Tensor) -> Tensor:
        """(seeds,) the metric (points, seeds) at one point of each seed."""
        return metric.gather(0, points.unsqueeze(0)).squeeze(0)

    def until(self, step: int) -> Path:
        """The part up to a step, included."""
        kept = self.steps <= step
        return Path(self.steps[kept], Measured(**{name: value[kept] for name, value in vars(self.measured).items()}))

    def reaching(self, level: Tensor) -> Tensor:
        """(seeds,) index of the first point with forget_kl <= level (seeds,); 0 where there is none."""
        return (self.measured.forget_kl <= level).to(torch.uint8).argmax(0)


def walk(
    world: World, method: str, learning_rate: float, beta: float | None = None, steps: int = 2000, every: int = 25
) -> Path:
    """Unlearn for `steps` steps of gradient descent, measured before the first and after every `every`-th."""
    hyper = Hyperparameters(method=method, forget_fraction=1.0, learning_rate=learning_rate, beta=beta)
    unlearning, yardstick = Unlearning(world.problems, world.target, hyper), world.yardstick
    found = [yardstick.measure(unlearning.weights.detach())]
    for step in range(1, steps + 1):
        unlearning.step()
        if step % every == 0:
            found.append(yardstick.measure(unlearning.weights.detach()))
    stacked = Measured(*(torch.stack([getattr(one, each.name) for one in found]) for each in fields(Measured)))
    return Path(torch.arange(len(found)) * every, stacked)


def collapse(ga: Path) -> float:
    """Claim 1, gradient ascent does not stop: mean retain_kl at the end over that at each seed's best point."""
    retain = ga.measured.retain_kl
    return float(retain[-1].mean() / ga.at(retain, ga.best).mean())


def price(npo_rt: Path, ga_rt: Path) -> float:
    """Claim 2, NPO+RT loses less for the same: its mean retain_kl over GA+RT's, each seed at the first point where the
    path is as low in forget_kl as both paths get.
    """
    level = torch.maximum(npo_rt.measured.forget_kl.amin(0), ga_rt.measured.forget_kl.amin(0))
    mine, other = (path.at(path.measured.retain_kl, path.reaching(level)).mean() for path in (npo_rt, ga_rt))
    return float(mine / other)


def price_at_best(npo_rt: Path, ga_rt: Path) -> float:
    """The same at the best point of each path's mean, wherever in forget_kl that is."""
    mine, other = (_at_best_mean(path.measured) for path in (npo_rt, ga_rt))
    return mine / other


def _at_best_mean(measured: Measured) -> float:
    return float(measured.retain_kl.mean(1)[measured.forget_kl.mean(1).argmin()])


def growth(path: Path, early: int = 5000, late: int = 9900) -> float:
    """Claim 3, drift is linear for gradient ascent and logarithmic for NPO: weight_drift at `late` over at `early`."""
    drift = path.measured.weight_drift.mean(1)
    return float(drift[path.steps == late] / drift[path.steps == early])


def deviation(npo: Path, ga: Path) -> float:
    """Claim 4, NPO with a small beta is gradient ascent: largest relative difference of mean retain_kl on the way."""
    mine, other = npo.measured.retain_kl.mean(1), ga.measured.retain_kl.mean(1)
    return float(((mine - other).abs() / other).max())
