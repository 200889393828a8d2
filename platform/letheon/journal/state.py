"""The state of a sweep as plain data: what `status --json` prints, and live tables read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from letheon.journal.journal import jsonable
from letheon.journal.lock import Owner

ACTIVE = ("preparing", "running")


@dataclass(frozen=True)
class TrialState:
    """One trial. `state`: finished if it has an `outcome` (completed, pruned, collapsed, failed, stopped); without one
    running, or interrupted if no driver runs.

    `epoch`: the last one reported, with its `metrics`; 0 and the baseline before the first report.
    """

    trial: str
    stratum: str
    config: Mapping[str, Any]
    state: str
    outcome: str | None
    reason: str | None
    epoch: int
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        names = ("trial", "state", "outcome", "reason", "epoch", "stratum", "config", "metrics")
        return jsonable({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class SweepState:
    """A sweep. `state`: preparing, running, interrupted, finished or failed; `seconds`: with a driver.

    `tracking`: the content of `tracking.json` (`store_status`), None if nothing was recorded in MLflow yet.
    """

    sweep: str
    state: str
    detail: str | None
    trials: tuple[TrialState, ...]
    seconds: float
    tracking: Mapping[str, Any] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials per outcome, and of those running or interrupted."""
        return dict(Counter(trial.outcome or trial.state for trial in self.trials))

    def to_json(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "state": self.state,
            "detail": self.detail,
            "trials": [trial.to_json() for trial in self.trials],
            "counts": self.counts,
            "seconds": round(self.seconds, 3),
            "tracking": None if self.tracking is None else dict(self.tracking),
        }


def with_liveness(state: SweepState, driver: Owner | None, tracking: Mapping[str, Any] | None) -> SweepState:
    """The journal's state, corrected by its folder: an active sweep without a driver is interrupted."""
    if state.state in ACTIVE and driver is None:
        return at_rest(replace(state, state="interrupted", detail="its driver is gone", tracking=tracking))
    return replace(state, tracking=tracking)


def at_rest(state: SweepState) -> SweepState:
    """The state with no trial running, if the sweep is not active."""
    if state.state in ACTIVE or all(trial.state != "running" for trial in state.trials):
        return state
    trials = (replace(it, state="interrupted") if it.state == "running" else it for it in state.trials)
    return replace(state, trials=tuple(trials))
