"""A Ray Tune scheduler that applies the sweep controller's decisions, each journalled before Tune acts on it.

Tune saves no scheduler state (it pickles this object as constructed), so the controller is opened from the journal on
first use. `trial` of its TrialConfig identifies a trial, never Tune's id. This module makes no decisions itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from letheon.search.controller import SharedController

NOT_METRICS = {*AUTO_RESULT_KEYS, "epoch", "failed", "done", "trial_id", "experiment_tag", "should_checkpoint"}


class JournalScheduler(FIFOScheduler):
    """Starts trials in the order of submission and stops them by the controller's rules.

    A trial's config is a TrialConfig as JSON, or has one as `config`. A result has `epoch`, its metrics (numbers),
    `failed` (a text) if the trial cannot continue, and perhaps `fast_paths` (a text for the journal). Results of epoch
    0 get no journal row.

    `check_cause` is called with the reason before a trial counts as failed, and raises if the trial is not the cause;
    it must be picklable.
    """

    def __init__(self, controller: SharedController, check_cause: Callable[[str], None] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._controller, self._check_cause = controller, check_cause

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        name, controller = _name(trial), self._controller()
        if result.get("failed"):
            self._fail(name, str(result["failed"]))
            return str(TrialScheduler.STOP)
        epoch = int(result["epoch"])
        if controller.ended(name):
            return str(TrialScheduler.STOP)
        fast_paths = str(result.get("fast_paths") or "") or None
        if epoch and controller.report(name, epoch, _metrics(result), fast_paths).action == "stop":
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        # Tune stops a trial whose result is `done` without a call of `on_trial_result`, so its last report is decided
        # here. A trial that is stopped from outside before its last epoch stays open, so that `resume` continues it.
        if "epoch" in result:
            self.on_trial_result(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        # Tune also calls this before it retries a trial, then with status ERROR.
        if trial.status != Trial.ERROR:
            self._fail(_name(trial), _last_line(trial.error_file))

    def _fail(self, trial: str, reason: str) -> None:
        if self._check_cause is not None:
            self._check_cause(reason)
        self._controller().fail(trial, reason)

    def debug_string(self) -> str:
        return self._controller().describe()


def _name(trial: Trial) -> str:
    """The trial's own name; Tune's id of a trial changes when a sweep is resumed."""
    config: Mapping[str, Any] = trial.config.get("config", trial.config)
    return str(config["trial"])


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that the trial itself reported; other values count as missing."""
    return {
        key: float(value)
        for key, value in result.items()
        if key not in NOT_METRICS
        and not key.startswith(("config/", "__"))
        and not isinstance(value, bool)
        and isinstance(value, Real)
    }


def _last_line(trace: str | None) -> str:
    """The last line of the error file in Tune's staging folder, which is there before its copy in storage."""
    text = Path(trace).read_text(errors="replace") if trace and Path(trace).exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the worker was lost"
