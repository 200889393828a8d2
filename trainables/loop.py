"""The per-worker loop of one trial: train an epoch, evaluate, write the epoch's folder, report, wait for the verdict.

All ranks run it in lockstep. It knows neither Ray nor schedulers: rank 0 alone asks and reports, through a `Channel`.
"""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.engine import Engine
from trainables.evaluation import Evaluation, compare, evaluate
from trainables.group import Group
from trainables.loss import Counts, step_loss
from trainables.methods import METHODS
from trainables.models import save_model
from trainables.resident import Resident
from trainables.schedule import StepRows, epoch_steps, learning_rate, micro_batches
from trainables.scores import collate, score
from trainables.trial_folder import TrialFolder


class Channel(Protocol):
    """What a trial needs of the outside. Called by rank 0 only."""

    def may_run(self, epoch: int) -> bool:
        """Block until the verdict on the epochs before is known; False abandons the trial."""

    def report(self, epoch: int, metrics: dict[str, Any]) -> None: ...


def run_trial(config: TrialConfig, resident: Resident, group: Group, channel: Channel) -> None:
    """Run or continue a trial. Epochs that its folder has already are reported again, not trained again."""
    folder = TrialFolder(Path(config.folder))
    done = first(group, lambda: _recover(folder))
    trial: Trial | None = None
    try:
        for epoch in range(1, config.max_epochs + 1):
            if not first(group, lambda epoch=epoch: channel.may_run(epoch)):
                return
            if epoch > done:
                trial = trial or Trial(config, resident, group, done)
                trial.run_epoch(epoch)
            if group.rank == 0:
                channel.report(epoch, (folder.record(epoch) or {})["metrics"])
    finally:
        if trial is not None:
            trial.engine.close()


def first(group: Group, ask: Any) -> Any:
    """The answer that rank 0 gets, on every rank."""
    return group.gather([ask() if group.rank == 0 else None])[0]


def _recover(folder: TrialFolder) -> int:
    usable = folder.last_usable_epoch()
    folder.truncate(usable)
    return usable


class Trial:
    """One trial in training on this rank, from `start_epoch` on."""

    def __init__(self, config: TrialConfig, resident: Resident, group: Group, start_epoch: int) -> None:
        self.config, self.hyper, self.group, self.resident = config, config.hyperparameters, group, resident
        self.method = METHODS[self.hyper.method]
        self.folder = TrialFolder(Path(config.folder))
        self.loaded = resident.model(config.target)
        self.rows = resident.rows(config)
        self.reference, self.frozen = self._reference()
        self.engine = Engine(self.loaded.model, config.workers, group, weight_decay=self.hyper.weight_decay)
        if start_epoch:
            self.engine.load_state(self.folder.epoch(start_epoch) / "state")

    def _reference(self) -> tuple[Tensor | None, Any]:
        """What the method needs of the target model: log-probs of the forget rows, itself, both, neither."""
        config, device, method = self.config, str(self.group.device), self.method
        needs_table, needs_model = method.needs_reference_table, method.needs_reference_model
        table = self.resident.reference_table(config, self.rows.forget, device) if needs_table else None
        model = self.resident.frozen_model(config.target, config.workers.precision, device) if needs_model else None
        return table, model

    @property
    def pad_id(self) -> int:
        return int(self.loaded.tokenizer.pad_token_id)

    def run_epoch(self, epoch: int) -> None:
        """Train, evaluate, write the epoch's folder."""
        started = time.monotonic()
        metrics: dict[str, Any] = {"epoch": epoch, **self._train(epoch)}
        metrics["train_seconds"] = time.monotonic() - started
        metrics["tokens_per_second"] = metrics.pop("tokens") / metrics["train_seconds"]
        evaluation = self._evaluate(finite=math.isfinite(metrics["loss"]))
        metrics |= evaluation.metrics
        baseline = self.resident.baseline(self.config.baseline)
        metrics |= compare(
            evaluation, baseline["retain"]["truth_ratios"], baseline["target"]["metrics"]["model_utility"]
        )
        metrics["peak_memory_bytes"] = peak_memory_bytes(self.group)
        self._write(epoch, {"metrics": metrics, "samples": list(evaluation.samples)})

    def _train(self, epoch: int) -> dict[str, float]:
        """Every forget row once. Returns means over the optimizer steps, and the number of tokens seen."""
        torch.manual_seed(self.hyper.seed * 1_000_003 + epoch)
        retain_rows = 0 if self.method.retain == "none" else len(self.rows.retain)
        steps = epoch_steps(len(self.rows.forget), retain_rows, self.hyper.batch_size, self.hyper.seed, epoch)
        total, warmup = len(steps) * self.config.max_epochs, round(len(steps) * self.hyper.warmup_epochs)
        sums = Sums()
        self.engine.model.train()
        for i, rows in enumerate(steps):
            step = (epoch - 1) * len(steps) + i
            rate = learning_rate(step, total, warmup, self.hyper.learning_rate)
            micros = self._micro_batches(rows)
            self.engine.step(self._losses(rows, micros, sums), rate, len(micros))
        means = sums.means(self.group, len(steps))
        return {"step": epoch * len(steps), "learning_rate": rate, **means}

    def _micro_batches(self, rows: StepRows) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        micro, group = self.config.workers.micro_batch_size, self.group
        forget = micro_batches(rows.forget, group.rank, group.size, micro)
        retain = micro_batches(rows.retain, group.rank, group.size, micro)
        return list(zip(forget, retain or [()] * len(forget), strict=False))

    def _losses(self, rows: StepRows, micros: list[Any], sums: Sums) -> Iterator[Tensor]:
        """The loss of each micro-batch: one forward pass over its forget and retain rows together."""
        data, method = self.rows, self.method
        counts = Counts.of([data.forget[i] for i in rows.forget], [data.retain[i] for i in rows.retain])
        for forget, retain in micros:
            encoded = [data.forget[i] for i in forget] + [data.retain[i] for i in retain]
            # A rank without rows still takes part in the collectives: it scores one row and counts none.
            batch = collate(encoded or [data.forget[0]], self.pad_id).to(self.group.device)
            keep_logits = method.needs_reference_model
            scores = score(self.engine.deepspeed, batch, keep_logits)
            split, end = len(forget), len(encoded)
            frozen = None
            if self.frozen is not None:
                with torch.no_grad():
                    frozen = score(self.frozen, batch, keep_logits)
            table = None if self.reference is None else self.reference[list(forget)].to(self.group.device)
            loss, terms = step_loss(
                method,
                scores.rows(0, split),
                scores.rows(split, end),
                frozen.rows(0, split) if table is None and frozen is not None else table,
                None if frozen is None else frozen.rows(split, end),
                self.hyper,
                counts,
            )
            sums.add(loss, terms, sum(len(row.input_ids) for row in encoded))
            yield loss

    def _evaluate(self, finite: bool) -> Evaluation:
        """All metrics of the model as it is. A loss that is not finite has no metrics worth the time."""
        config = self.config
        if not finite:
            untouched = self.resident.baseline(config.baseline)["target"]
            return Evaluation(
                metrics=dict.fromkeys(untouched["metrics"], math.nan),
                truth_ratios=(math.nan,) * len(untouched["truth_ratios"]),
                samples=(),
            )
        self.engine.model.eval()
        return evaluate(
            self.engine.model,
            self.loaded.tokenizer,
            config.template,
            self.rows.split,
            config.evaluation,
            self.group,
        )

    def _write(self, epoch: int, record: dict[str, Any]) -> None:
        partial = self.folder.partial(epoch)
        if self.group.rank == 0:
            self.folder.begin(epoch)
        self.group.barrier()
        self.engine.save_state(partial / "state")
        weights = self.engine.weights()
        if weights is not None:
            save_model(partial / "model", self.engine.model, self.loaded.tokenizer, weights)
            card = provenance(self.config, self.resident.baseline(self.config.baseline))
            (partial / "model" / "letheon.json").write_text(json.dumps(card, indent=1, sort_keys=True))
        self.group.barrier()
        if self.group.rank == 0:
            self.folder.commit(epoch, record)
        self.group.barrier()


def provenance(config: TrialConfig, baseline: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint must know about itself so that `evaluate` gives its recorded metrics again, anywhere."""
    return {
        "benchmark": config.benchmark.model_dump(mode="json"),
        "forget_fraction": config.hyperparameters.forget_fraction,
        "template": config.template,
        "evaluation": config.evaluation.model_dump(mode="json"),
        "precision": config.workers.precision,
        "hyperparameters": config.hyperparameters.model_dump(mode="json", exclude_none=True),
        "retain_truth_ratios": baseline["retain"]["truth_ratios"],
        "target_utility": baseline["target"]["metrics"]["model_utility"],
    }


class Sums:
    """Running sums of one epoch, kept as tensors so that no step waits for the device."""

    def __init__(self) -> None:
        self.tokens = 0
        self.terms: dict[str, Tensor] = {}

    def add(self, loss: Tensor, terms: dict[str, Tensor], tokens: int) -> None:
        self.tokens += tokens
        for name, value in {"loss": loss.detach(), **terms}.items():
            self.terms[name] = self.terms.get(name, torch.zeros_like(value)) + value

    def means(self, group: Group, steps: int) -> dict[str, float]:
        """Shares of all micro-batches and workers add up to each step's loss; the mean is over steps."""
        mine = {name: float(value) / steps for name, value in self.terms.items()}
        everyone = group.gather([(mine, self.tokens)])
        means = {name: math.fsum(part[name] for part, _ in everyone) for name in mine}
        return {**means, "tokens": sum(tokens for _, tokens in everyone)}


def peak_memory_bytes(group: Group) -> int:
    """Largest memory of any worker so far: of the device on a GPU, of the process on a CPU."""
    if torch.device(group.device).type == "cuda":
        mine = torch.cuda.max_memory_allocated(group.device)
    else:
        mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(group.gather([mine]))
