"""Methods that train once and then walk a straight line through the target model's weights.

    theta_e = theta + s(e / E) * (theta_trained - theta),  epochs e = 1 … E,  s: `Method.line`

s < 0 subtracts what was learned (task arithmetic), 0 < s <= 1 averages with the target model, s > 1 extrapolates. The
line is the trial's trajectory, and every point of it is a candidate for the front.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.batching.schedule import epoch_steps, learning_rate
from trainables.config import Hyperparameters
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group
from trainables.training.averages import RunningMeans, progress_of
from trainables.training.gradients import trainable
from trainables.training.step import Stepper


class WeightLine:
    """The line of one trial on this rank, trained at first use; a resumed trial trains the same one."""

    def __init__(self, stepper: Stepper, hyper: Hyperparameters, max_epochs: int) -> None:
        self._stepper, self._hyper, self._max_epochs = stepper, hyper, max_epochs
        self._start: list[Tensor] = []
        self._vector: list[Tensor] = []
        self._trained: dict[str, float] = {}

    def move(self, epoch: int, group: Group) -> dict[str, float]:
        """Set the weights to `epoch`'s point on the line. Returns the training's losses and this epoch's tokens."""
        parameters = trainable(self._stepper.engine.model)
        tokens = 0.0
        if not self._vector:
            self._start = [parameter.detach().float().clone() for parameter in parameters]
            self._trained = self._train(group)
            tokens = self._trained.pop("tokens")
            self._vector = [p.detach().float() - start for p, start in zip(parameters, self._start, strict=True)]
        line = self._stepper.method.line
        assert line is not None  # the caller checked
        factor = line(epoch / self._max_epochs, self._stepper.values)
        with torch.no_grad():
            for parameter, start, vector in zip(parameters, self._start, self._vector, strict=True):
                parameter.copy_(start + factor * vector)
        return {"learning_rate": 0.0, **self._trained, "tokens": tokens}

    def _train(self, group: Group) -> dict[str, float]:
        """Train for `fit_epochs` epochs; the learning rate falls to zero over all of them, without warm-up."""
        hyper, data = self._hyper, self._stepper.batcher.data
        retain_rows = 0 if self._stepper.method.retain == "none" else len(data.retain)
        numbers = range(1, int(self._stepper.values["fit_epochs"]) + 1)
        epochs = [epoch_steps(len(data.forget), retain_rows, hyper.batch_size, hyper.seed, each) for each in numbers]
        total, taken = sum(map(len, epochs)), 0
        sums, stage = RunningMeans(), Stage("training", total)
        self._stepper.engine.model.train()
        for epoch, steps in zip(numbers, epochs, strict=True):
            sums = RunningMeans()
            for rows in steps:
                rate = learning_rate(taken, total, 0, hyper.learning_rate)
                results = self._stepper.run(rows, epoch, rate)
                sums.add(results)
                stage.step(**progress_of(results, group))
                taken += 1
        return {"step": taken, **sums.means(group, len(epochs[-1]))}
