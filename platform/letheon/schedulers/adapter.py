"""Ray Tune's view of the scheduler: every result is decided by `SweepScheduler` and journalled before Tune acts on it.

Tune saves no scheduler state (it pickles this object as it was constructed), so the state is read from the journal on
first use. A trial is known by its TrialConfig's `trial`, never by Tune's id. This module decides nothing itself and is
the only one of the package that imports Ray.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from letheon.objectives import Goals
from letheon.records.journal import Journal, Row, stratum_of
from letheon.schedulers.config import SchedulerConfig
from letheon.schedulers.decision import Decision
from letheon.schedulers.state import SweepScheduler

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

NOT_METRICS = {*AUTO_RESULT_KEYS, "epoch", "failed", "done", "trial_id", "experiment_tag", "should_checkpoint"}
REASON_CHARACTERS = 500


class JournalScheduler(FIFOScheduler):
    """Trials in the order of submission, stopped by `config`'s rules.

    A trial's config is a TrialConfig as JSON, or has one as `config`. A result has `epoch`, numbers (its metrics), and
    `failed` (a text) if the trial cannot go on. `baselines` are the metrics of epoch 0 by stratum, `goals`
    the objectives that rungs compare. Results of epoch 0 are let through without a row.
    """

    _supports_buffered_results = False  # the worker waits for the verdict of each report

    def __init__(
        self,
        config: SchedulerConfig,
        journal: str | os.PathLike[str],
        baselines: Mapping[str, Mapping[str, float]] | None = None,
        goals: Goals | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._config, self._goals = config, goals
        self._path = Path(journal).absolute()
        self._baselines = {stratum: dict(metrics) for stratum, metrics in (baselines or {}).items()}
        self._live: tuple[Journal, SweepScheduler] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None}

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        name = self._introduce(trial)["trial"]
        if result.get("failed"):
            self._end(trial, "failed", str(result["failed"]), int(result.get("epoch", 0)))
            return str(TrialScheduler.STOP)
        if self._ended(name) or self._report(trial, result).action == "stop":
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> None:
        # Tune stops a trial whose result says `done` without asking; its last report has not been decided then.
        # A trial that is stopped from outside before its last epoch stays open, so that `resume` goes on with it.
        if "epoch" in result:
            self.on_trial_result(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        # Tune calls this for retries too, and marks only those ERROR beforehand.
        if trial.status != Trial.ERROR:
            name = self._introduce(trial)["trial"]
            epochs = [row["epoch"] for row in self._journal.rows if row["kind"] == "report" and row["trial"] == name]
            self._end(trial, "failed", _last_line(trial.error_file), max(epochs, default=0))

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        # Asked in every turn of Tune's loop: the one place to see that trials have started, and to keep a trial from
        # running again whose end is newer than the snapshot that Tune restored.
        for trial in list(tune_controller.get_live_trials()):  # type: ignore[no-untyped-call]
            if trial.status == Trial.RUNNING:
                self._introduce(trial)
            elif trial.status == Trial.PENDING and self._ended(_config(trial)["trial"]):
                trial.init_local_path()  # Tune's results want a folder of every trial
                tune_controller.stop_trial(trial)  # type: ignore[no-untyped-call]
        return super().choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        ends = [row["outcome"] for row in self._journal.rows if row["kind"] == "end"]
        return f"{self._config.name}, rungs {self._config.rungs}, {len(ends)} trials ended"

    @property
    def _journal(self) -> Journal:
        return self._open()[0]

    def _open(self) -> tuple[Journal, SweepScheduler]:
        if self._live is None:
            journal, scheduler = Journal(self._path), SweepScheduler(self._config, self._goals)
            rows = journal.rows
            scheduler.replay(rows)
            for row in rows:  # the driver may have died between a last decision and its end row
                if row["kind"] == "report" and row["decision"]["action"] == "stop":
                    _append_end(journal, row["trial"], Decision.from_json(row["decision"]))
            self._live = journal, scheduler
        return self._live

    def _introduce(self, trial: Trial) -> Row:
        """The trial's row, written when it is first seen running."""
        config = _config(trial)
        known = self._journal.find("trial", config["trial"])
        if known is not None:
            return known
        searched = {key: value for key, value in config["hyperparameters"].items() if value is not None}
        stratum = stratum_of(searched["forget_fraction"])
        baseline = self._baselines.get(stratum, {})
        return self._journal.append("trial", trial=config["trial"], stratum=stratum, config=searched, baseline=baseline)

    def _report(self, trial: Trial, result: Mapping[str, Any]) -> Decision:
        journal, scheduler = self._open()
        row, epoch, metrics = self._introduce(trial), int(result["epoch"]), _metrics(result)
        if epoch < 1:
            return Decision("continue", epoch, "the untouched target model")
        decision = scheduler.on_report(row["trial"], row["stratum"], epoch, metrics)
        journal.append("report", trial=row["trial"], epoch=epoch, metrics=metrics, decision=decision.to_json())
        if decision.action == "stop":
            _append_end(journal, row["trial"], decision)
        return decision

    def _end(self, trial: Trial, outcome: str, reason: str, epoch: int) -> None:
        journal, scheduler = self._open()
        row = self._introduce(trial)
        text = reason.strip()[:REASON_CHARACTERS] or "no reason given"
        scheduler.on_end(row["trial"], row["stratum"], text)
        journal.append("end", trial=row["trial"], outcome=outcome, reason=text, epoch=epoch)

    def _ended(self, name: str) -> bool:
        return self._journal.find("end", name) is not None


def _config(trial: Trial) -> Mapping[str, Any]:
    """The trial's TrialConfig as JSON; Tune's own identity of a trial changes when a sweep is run again."""
    config: Mapping[str, Any] = trial.config.get("config", trial.config)
    return config


def _append_end(journal: Journal, trial: str, decision: Decision) -> None:
    outcome = decision.outcome or "pruned"
    journal.append("end", trial=trial, outcome=outcome, reason=decision.reason, epoch=decision.epoch)


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that the trial itself reported; what is no number counts as missing."""
    return {
        key: float(value)
        for key, value in result.items()
        if key not in NOT_METRICS
        and not key.startswith(("config/", "__"))
        and not isinstance(value, bool)
        and isinstance(value, Real)
    }


def _last_line(trace: str | None) -> str:
    """Of the error file in Tune's staging folder; the copy in storage comes later."""
    text = Path(trace).read_text(errors="replace") if trace and Path(trace).exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the worker was lost"
