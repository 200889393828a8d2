"""Ray Tune's view of the conductor's decisions: every result is decided and journalled before Tune acts on it.

Tune saves no scheduler state (it pickles this object as it was constructed), so the conductor is opened from the
journal on first use. A trial is known by its TrialConfig's `trial`, never by Tune's id. This module decides nothing
itself and is the only one of the package that imports Ray.
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
    """Trials in the order of submission, stopped by the conductor's rules.

    A trial's config is a TrialConfig as JSON, or has one as `config`. A result has `epoch`, numbers (its metrics), and
    `failed` (a text) if the trial cannot go on. Results of epoch 0 are let through without a row.

    `excuse` is called with the reason before a trial counts as failed, and raises where it is not the trial's fault;
    it must be picklable.
    """

    def __init__(self, conductor: SharedController, excuse: Callable[[str], None] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._conductor, self._excuse = conductor, excuse

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        name, conductor = _name(trial), self._conductor()
        if result.get("failed"):
            self._fail(name, str(result["failed"]))
            return str(TrialScheduler.STOP)
        epoch = int(result["epoch"])
        if conductor.ended(name) or (epoch and conductor.report(name, epoch, _metrics(result)).action == "stop"):
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        # Tune stops a trial whose result says `done` without asking; its last report has not been decided then.
        # A trial that is stopped from outside before its last epoch stays open, so that `resume` goes on with it.
        if "epoch" in result:
            self.on_trial_result(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        # Tune calls this for retries too, and marks only those ERROR beforehand.
        if trial.status != Trial.ERROR:
            self._fail(_name(trial), _last_line(trial.error_file))

    def _fail(self, trial: str, reason: str) -> None:
        if self._excuse is not None:
            self._excuse(reason)
        self._conductor().fail(trial, reason)

    def debug_string(self) -> str:
        return self._conductor().describe()


def _name(trial: Trial) -> str:
    """The trial's own; Tune's identity of a trial changes when a sweep is run again."""
    config: Mapping[str, Any] = trial.config.get("config", trial.config)
    return str(config["trial"])


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
