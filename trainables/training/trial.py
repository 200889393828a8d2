"""The loop of one trial on each worker: train an epoch, evaluate, write its folder, report, wait for the decision.

All ranks run it in lockstep; only rank 0 asks and reports, through a `Channel`.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from trainables.batching.schedule import StepRows, epoch_steps, learning_rate
from trainables.config import TrialConfig
from trainables.data.rows import Split
from trainables.data.splitting import digest_rows
from trainables.evaluation.candidates import is_candidate
from trainables.evaluation.evaluate import StagedEvaluation
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare
from trainables.evaluation.needs import Needs, needs_of
from trainables.evaluation.two_stage import evaluate_in_stages
from trainables.evaluation.verdict import verdict
from trainables.inputs.cache import WorkerCache
from trainables.inputs.micro_batches import MicroBatcher
from trainables.inputs.step_data import step_data
from trainables.model.compile import cache_compiled
from trainables.model.copies import DTYPES
from trainables.model.load import save_model
from trainables.plugins.load import methods_of
from trainables.runtime.channel import Channel, broadcast_from_rank0
from trainables.runtime.events import mark
from trainables.runtime.fast_paths import combined, states
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group
from trainables.self_check.layers import prove_layers
from trainables.storage.model_card import CARD, ForgetSet, Results, Training, model_card
from trainables.storage.model_files import ModelFiles
from trainables.storage.save_state import must_save_state
from trainables.storage.trial_folder import TrialFolder
from trainables.training.averages import RunningMeans, progress_of
from trainables.training.engine import Engine
from trainables.training.line import WeightLine
from trainables.training.memory_usage import TrialMemory
from trainables.training.step import Stepper

Probe = Callable[[TrialConfig, Any, Any, Split, Group], dict[str, float]]
"""Attacks a copy of the model (its weights on the CPU in float32); returns metrics. See `trainables.audit.probe`."""


def run_trial(
    config: TrialConfig, cache: WorkerCache, group: Group, channel: Channel, probe: Probe | None = None
) -> None:
    """Run or continue a trial. Epochs that are already in its folder are reported again, not evaluated again; those
    after the last saved state are trained again first if the trial goes on.

    `probe`: used if the configuration has one; ValueError if it has and this is None.
    """
    folder = TrialFolder(Path(config.folder))
    recorded, state = broadcast_from_rank0(group, folder.recover)
    trial: Trial | None = None
    try:
        for epoch in range(1, config.max_epochs + 1):
            if not broadcast_from_rank0(group, lambda epoch=epoch: channel.may_run(epoch)):
                return
            if epoch > recorded:
                if trial is None:
                    trial = Trial(config, cache, group, state, probe)
                    trial.repeat(range(state + 1, epoch))
                trial.run_epoch(epoch)
            if group.rank == 0:
                mark(f"{config.trial}: reports epoch {epoch}")
                record = folder.record(epoch) or {}
                channel.report(epoch, record["metrics"] | {"fast_paths": record.get("fast_paths", "")})
    finally:
        if trial is not None:
            trial.engine.close()


class Trial:
    """A trial in training on this rank, starting after `start_epoch` (0: from the target model)."""

    def __init__(
        self,
        config: TrialConfig,
        cache: WorkerCache,
        group: Group,
        start_epoch: int,
        probe: Probe | None = None,
    ) -> None:
        if config.probe is not None and probe is None:
            raise ValueError(f"trial {config.trial} must be probed: give run_trial a probe, or remove scheduler.probe")
        self._attack = probe
        self.config, self.hyper, self.group, self.cache = config, config.hyperparameters, group, cache
        self.method = methods_of(config.plugins)[self.hyper.method]
        self.folder = TrialFolder(Path(config.folder))
        self.memory = TrialMemory(config, self.method, cache, group)
        self.loaded = cache.model(config.target)
        self.rows = cache.rows(config)
        data = step_data(config, self.method, cache, str(group.device))
        cache_compiled(Path(config.reference_cache).with_name("compiled"))
        prove_layers(self.loaded.model, self.rows.forget, DTYPES[config.workers.precision], group)
        self.engine = Engine(
            self.loaded.model,
            config.workers,
            group,
            weights=self.memory.weights(),
            other_bytes=self.memory.other_bytes,
            weight_decay=self.hyper.weight_decay,
            decay_norms=config.compat == "none",
            lora=config.lora,
            seed=self.hyper.seed,
        )
        batcher = MicroBatcher(
            self.method,
            data,
            group,
            config.workers.micro_batch_size,
            config.compat,
            layout=self.engine.layout,
            micro_batch_tokens=self.engine.micro_batch_tokens,
        )
        self.memory.expect(batcher, self.steps(1))
        self.stepper = Stepper(self.engine, self.hyper, batcher)
        mark(f"{config.trial}: engine ready")
        self.line = None if self.method.line is None else WeightLine(self.stepper, self.hyper, config.max_epochs)
        if start_epoch and self.line is None:
            self.engine.load_state(self.folder.epoch(start_epoch) / "state")
            recorded = (self.folder.record(start_epoch) or {})["metrics"]
            weight = recorded.get(f"multiplier_{group.rank}", recorded.get("multiplier", self.stepper.weight))
            self.stepper.weight = weight
        self._unsaved, self._longest = 0.0, 0.0
        self._cost_per_byte = math.inf

    def repeat(self, epochs: Sequence[int]) -> None:
        """Train epochs that are recorded but not in the state that was loaded."""
        for epoch in epochs if self.line is None else ():
            started = time.monotonic()
            self._train(epoch)
            self._unsaved += time.monotonic() - started

    def run_epoch(self, epoch: int) -> None:
        """Train, evaluate, write the epoch's folder."""
        started = time.monotonic()
        metrics: dict[str, Any] = {"epoch": epoch, **self._train(epoch)}
        metrics["train_seconds"] = time.monotonic() - started
        self._unsaved += metrics["train_seconds"]
        metrics["tokens_per_second"] = metrics.pop("tokens") / metrics["train_seconds"]
        finite = math.isfinite(metrics["loss"])
        found, samples = self._evaluate(epoch, finite, self._probe(epoch, finite))
        metrics |= found
        metrics |= self.memory.metrics()
        self._longest = max(self._longest, time.monotonic() - started)
        Stage("saving")
        fast_paths = combined(self.group.gather([states()]))
        self._write(epoch, {"metrics": metrics, "samples": samples, "fast_paths": fast_paths})

    def _train(self, epoch: int) -> dict[str, float]:
        """Train on every forget row once. Returns means over the optimizer steps, and the number of tokens."""
        torch.manual_seed(self.hyper.seed * 1_000_003 + epoch)
        if self.line is not None:
            return self.line.move(epoch, self.group)
        steps = self.steps(epoch)
        total, warmup = len(steps) * self.config.max_epochs, round(len(steps) * self.hyper.warmup_epochs)
        sums, stage = RunningMeans(), Stage("training", len(steps))
        self.engine.model.train()
        for i, rows in enumerate(steps):
            step = (epoch - 1) * len(steps) + i
            rate = learning_rate(step, total, warmup, self.hyper.learning_rate)
            results = self.stepper.run(rows, epoch, rate)
            sums.add(results)
            stage.step(**progress_of(results, self.group))
            if i == 0:
                mark(f"{self.config.trial}: first step of epoch {epoch}")
        means = sums.means(self.group, len(steps))
        if self.method.multiplier is not None:
            means |= self._multipliers()
        return {"step": epoch * len(steps), "learning_rate": rate, **means}

    def _multipliers(self) -> dict[str, float]:
        """Rank 0's multiplier, and those of other ranks where they differ (in published code they can)."""
        first_one, *others = self.group.gather([self.stepper.weight])
        differing = {f"multiplier_{rank}": one for rank, one in enumerate(others, start=1) if one != first_one}
        return {"multiplier": first_one, **differing}

    def steps(self, epoch: int) -> list[StepRows]:
        """The rows of each optimizer step of an epoch."""
        retain_rows = 0 if self.method.retain == "none" else len(self.rows.retain)
        return epoch_steps(len(self.rows.forget), retain_rows, self.hyper.batch_size, self.hyper.seed, epoch)

    def _probe(self, epoch: int, finite: bool) -> dict[str, float]:
        """What attacks bring back from the current model; empty if it is not probed after this epoch."""
        plan = self.config.probe
        if plan is None or self._attack is None or epoch not in plan.epochs:
            return {}
        if not finite:
            return dict.fromkeys(plan.metrics, math.nan)
        model = self.engine.copy_weights_to(copy.deepcopy(self.loaded.model))
        return self._attack(self.config, model, self.loaded.tokenizer, self.rows.split, self.group)

    def _evaluate(
        self, epoch: int, finite: bool, probed: Mapping[str, float]
    ) -> tuple[dict[str, float], list[dict[str, str]]]:
        """Metrics and samples of the current model, with those `probed`. If the loss is not finite all are NaN."""
        config, baseline = self.config, self.cache.baseline(self.config.baseline)
        untouched = baseline["target"]["metrics"]
        if not finite:
            return {**dict.fromkeys(untouched, math.nan), **probed}, []

        def compared(evaluation: Evaluation) -> dict[str, float]:
            found = compare(evaluation, baseline["yardstick"], untouched["model_utility"], config.evaluation.guard)
            return {**found, **probed}

        self.engine.model.eval()
        with self.engine.as_saved():
            staged = StagedEvaluation(
                self.engine.model,
                self.loaded.tokenizer,
                config.template,
                self.rows.split,
                config.evaluation,
                self.group,
            )
            needs = None if epoch == config.max_epochs else self._needs
            return evaluate_in_stages(staged, compared, needs, lambda metrics: self._is_candidate(epoch, metrics))

    @cached_property
    def _needs(self) -> Needs | None:
        """What the pruning decision after an epoch reads; None if every epoch is evaluated in full."""
        decision = self.config.decision
        if decision is None or decision.full:
            return None
        return needs_of(self.rows.split.evaluation, self.config.evaluation, decision.metrics)

    def _is_candidate(self, epoch: int, metrics: dict[str, Any]) -> bool:
        """Whether the epoch can be on the front, judged by the epochs before it. The same on every rank."""
        decision = self.config.decision

        def judged() -> bool:
            records = (self.folder.record(one) or {"metrics": {}} for one in range(1, epoch))
            return decision is None or is_candidate(decision, (one["metrics"] for one in records), metrics)

        return bool(broadcast_from_rank0(self.group, judged))

    def _write(self, epoch: int, record: dict[str, Any]) -> None:
        partial = self.folder.partial(epoch)
        if self.group.rank == 0:
            self.folder.begin(epoch)
        self.group.barrier()
        model = partial / "model" if self._is_candidate(epoch, record["metrics"]) else None
        files = {} if model is None else self._save_model(model, epoch, record["metrics"])
        state = self._save_state(epoch, partial / "state", model)
        self.group.barrier()
        if self.group.rank == 0:
            self.folder.commit(epoch, record, state, files)
        self.group.barrier()

    def _save_model(self, folder: Path, epoch: int, metrics: dict[str, Any]) -> dict[str, Any]:
        """Save weights, card and provenance. Returns digest and size of the files that are known, by name."""
        started, config = time.monotonic(), self.config
        weights = self.engine.weights()
        if weights is None:
            return {}
        key = (config.target, config.workers.precision, config.lora is not None)
        files: dict[str, Any] = self.cache.get("files", key, ModelFiles).save(
            folder, weights, lambda place: save_model(place, self.engine.model, self.loaded.tokenizer, weights)
        )
        saved = sum(entry["bytes"] for entry in files.values())
        self._cost_per_byte = min(self._cost_per_byte, (time.monotonic() - started) / saved)
        card = provenance(self.config, self.cache.baseline(self.config.baseline))
        (folder / "letheon.json").write_text(json.dumps(card, indent=1, sort_keys=True))
        (folder / CARD).write_text(self._card(epoch, metrics))
        return files

    def _save_state(self, epoch: int, folder: Path, model: Path | None) -> dict[str, Any]:
        """Save the state if it is time to. Returns digest and size of the files of all ranks."""
        cost = self._cost_per_byte * self.engine.state_bytes

        def is_due() -> bool:
            last = epoch == self.config.max_epochs or self.line is not None  # no later epoch needs it
            return not last and must_save_state(self._unsaved, self._longest, cost)

        if not broadcast_from_rank0(self.group, is_due):
            return {}
        started = time.monotonic()
        mine = self.engine.save_state(folder, model)
        self._cost_per_byte = (time.monotonic() - started) / self.engine.state_bytes
        self._unsaved = 0.0
        return {name: entry for files in self.group.gather([mine]) for name, entry in files.items()}

    def _card(self, epoch: int, metrics: dict[str, Any]) -> str:
        config, baseline = self.config, self.cache.baseline(self.config.baseline)
        rows, hyper = self.rows.split.forget, self.hyper
        forgotten = ForgetSet(
            config.benchmark.model_dump(mode="json"), hyper.forget_fraction, len(rows), digest_rows([rows])
        )
        settings = {
            "template": config.template,
            "precision": config.workers.precision,
            "memory": config.workers.memory,
            "workers": config.workers.workers,
            "deepspeed": config.workers.deepspeed,
            "compat": config.compat,
            "lora": None if config.lora is None else config.lora.model_dump(mode="json"),
            "max_epochs": config.max_epochs,
            "target_digest": config.target_digest,
        }
        made = Training(hyper.model_dump(mode="json", exclude_none=True), settings)
        target = baseline["target"]["metrics"]
        found = verdict(metrics, target, config.verdict)
        measured = Results(metrics, target, baseline["retain"]["metrics"], str(found), baseline.get("note", ""))
        return model_card(config.trial, epoch, forgotten, made, measured)


def provenance(config: TrialConfig, baseline: dict[str, Any]) -> dict[str, Any]:
    """The facts stored with a checkpoint, from which `evaluate` reproduces its recorded metrics anywhere.

    `beside`: the same metrics of the target and the retain model. `verdict`: the sweep's limits.
    """
    return {
        "benchmark": config.benchmark.model_dump(mode="json"),
        "forget_fraction": config.hyperparameters.forget_fraction,
        "template": config.template,
        "evaluation": config.evaluation.model_dump(mode="json"),
        "precision": config.workers.precision,
        "hyperparameters": config.hyperparameters.model_dump(mode="json", exclude_none=True),
        "yardstick": baseline["yardstick"],
        "target_utility": baseline["target"]["metrics"]["model_utility"],
        "beside": {name: _finite(baseline[name]["metrics"]) for name in ("target", "retain")},
        "verdict": config.verdict.model_dump(mode="json"),
    }


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """The finite values: JSON has no others."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
