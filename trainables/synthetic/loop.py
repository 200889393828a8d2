"""One synthetic trial. An epoch is 25 steps of full-batch gradient descent, then measured, written and reported.

Folder and reports are those of every trial, so schedulers, fronts and `pull` see no difference. Runs in one process on
the CPU; the weights are its whole optimizer state.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.config import TrialConfig
from trainables.storage.model_card import CARD, LOAD_TENSORS, ForgetSet, Results, Training, model_card
from trainables.storage.trial_folder import TrialFolder
from trainables.synthetic.data import draw
from trainables.synthetic.files import load_weights, save_checkpoint
from trainables.synthetic.model import Yardstick
from trainables.synthetic.rules import STEPS_PER_EPOCH, alpha_of
from trainables.synthetic.train import Unlearning

if TYPE_CHECKING:
    from trainables.runtime.channel import Channel

STATE = "weights.safetensors"


def run_trial(config: TrialConfig, channel: Channel) -> None:
    """Run or continue a trial. Epochs that are already in its folder are reported again, not trained again."""
    folder = TrialFolder(Path(config.folder))
    recorded, state = folder.recover()
    trial: Trial | None = None
    for epoch in range(1, config.max_epochs + 1):
        if not channel.may_run(epoch):
            return
        if epoch > recorded:
            if trial is None:
                trial = Trial(config, state)
                trial.train((recorded - state) * STEPS_PER_EPOCH)
            trial.run_epoch(epoch)
        channel.report(epoch, (folder.record(epoch) or {})["metrics"])


class Trial:
    """A trial in training, starting after `start_epoch` (0: from the target model)."""

    def __init__(self, config: TrialConfig, start_epoch: int) -> None:
        hyper = config.hyperparameters
        self.config, self.folder = config, TrialFolder(Path(config.folder))
        self.problems = draw(alpha_of(config.benchmark), (hyper.seed,), hyper.forget_fraction)
        self.target = load_weights(Path(config.target), (hyper.seed,))
        self.baseline = json.loads(Path(config.baseline).read_text())
        self.retain = load_weights(Path(self.baseline["retain"]["folder"]), (hyper.seed,))
        self.yardstick = Yardstick(self.problems, self.target, self.retain)
        self.unlearning = Unlearning(self.problems, self.target, hyper)
        if start_epoch:
            state = load_file(self.folder.epoch(start_epoch) / "state" / STATE)
            with torch.no_grad():
                self.unlearning.weights.copy_(state["weights"])

    def train(self, steps: int) -> list[dict[str, Tensor]]:
        """What each step of full-batch gradient descent measured."""
        return [self.unlearning.step() for _ in range(steps)]

    def run_epoch(self, epoch: int) -> None:
        """Train, measure, write the epoch's folder."""
        started = time.monotonic()
        steps = self.train(STEPS_PER_EPOCH)
        metrics: dict[str, Any] = {
            "epoch": epoch,
            "step": epoch * STEPS_PER_EPOCH,
            "learning_rate": self.config.hyperparameters.learning_rate,
            **{name: float(torch.cat([step[name] for step in steps]).mean()) for name in steps[0]},
            "train_seconds": time.monotonic() - started,
            **self.yardstick.measure(self.unlearning.weights.detach()).means(),
        }
        self._write(epoch, metrics)

    def _write(self, epoch: int, metrics: dict[str, Any]) -> None:
        weights = self.unlearning.weights.detach()
        partial = self.folder.begin(epoch)
        save_file({"weights": weights.clone()}, partial / "state" / STATE)
        models = (weights[0], self.target[0], self.retain[0])
        save_checkpoint(partial / "model", self.config, self.problems.projection[0], *models)
        (partial / "model" / CARD).write_text(self._card(epoch, metrics))
        self.folder.commit(epoch, {"metrics": metrics, "samples": []})

    def _card(self, epoch: int, metrics: dict[str, Any]) -> str:
        config, hyper = self.config, self.config.hyperparameters
        forgotten = ForgetSet(config.benchmark.model_dump(mode="json"), hyper.forget_fraction)
        made = Training(hyper.model_dump(mode="json", exclude_none=True), {"max_epochs": config.max_epochs})
        measured = Results(metrics, self.baseline["target"]["metrics"], self.baseline["retain"]["metrics"])
        return model_card(config.trial, epoch, forgotten, made, measured, LOAD_TENSORS)
