"""Task arithmetic: fit the forget rows once, then move away from them along a straight line. No unlearning loop.

    theta_e = theta - scale * (e / E) * (theta_overfit - theta),  epochs e = 1 … E

(Ilharco et al. 2023, arXiv 2212.04089, "forgetting via negation"; a baseline of MUSE, arXiv 2407.06460.) The line is
the trial's trajectory, and every point of it is a candidate for the front.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainables.batching.schedule import StepRows, learning_rate, shuffled
from trainables.config import Hyperparameters
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group
from trainables.training.averages import RunningMeans, progress_of
from trainables.training.gradients import trainable
from trainables.training.step import Stepper


class TaskVector:
    """The vector of one trial on this rank, fitted at first use; a resumed trial fits the same one."""

    def __init__(self, stepper: Stepper, hyper: Hyperparameters, max_epochs: int) -> None:
        self._stepper, self._hyper, self._max_epochs = stepper, hyper, max_epochs
        self._start: list[Tensor] = []
        self._vector: list[Tensor] = []
        self._fitted: dict[str, float] = {}

    def move(self, epoch: int, group: Group) -> dict[str, float]:
        """Set the weights to `epoch`'s point on the line. Returns the losses of the fit and this epoch's tokens."""
        parameters = trainable(self._stepper.engine.model)
        tokens = 0.0
        if not self._vector:
            self._start = [parameter.detach().float().clone() for parameter in parameters]
            self._fitted = self._fit(group)
            tokens = self._fitted.pop("tokens")
            self._vector = [p.detach().float() - start for p, start in zip(parameters, self._start, strict=True)]
        share = self._stepper.values["scale"] * epoch / self._max_epochs
        with torch.no_grad():
            for parameter, start, vector in zip(parameters, self._start, self._vector, strict=True):
                parameter.copy_(start - share * vector)
        return {"learning_rate": 0.0, **self._fitted, "tokens": tokens}

    def _fit(self, group: Group) -> dict[str, float]:
        """Ordinary training on the forget rows; the learning rate falls to zero over all epochs."""
        hyper, rows = self._hyper, len(self._stepper.batcher.data.forget)
        epochs = int(self._stepper.values["overfit_epochs"])
        steps = 0
        sums, stage = RunningMeans(), Stage("training", epochs * math.ceil(rows / hyper.batch_size))
        self._stepper.engine.model.train()
        for epoch in range(1, epochs + 1):
            batches = shuffled(rows, hyper.batch_size, hyper.seed, epoch)
            sums = RunningMeans()
            for batch in batches:
                rate = learning_rate(steps, epochs * len(batches), 0, hyper.learning_rate)
                results = self._stepper.run(StepRows(batch, ()), epoch, rate)
                sums.add(results)
                stage.step(**progress_of(results, group))
                steps += 1
        return {"step": steps, **sums.means(group, len(batches))}
