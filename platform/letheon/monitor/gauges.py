"""A view of a sweep as numbers with labels, for monitoring. Pure; `exporter` exports them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from letheon.monitor.view import LiveView

STATES = ("preparing", "running", "interrupted", "finished", "failed")
TRIAL_STATES = ("running", "interrupted", "completed", "pruned", "collapsed", "stopped", "failed")
REASONS: Mapping[str, str] = {"pruned": "rung", "collapsed": "collapse", "stopped": "budget"}
"""Outcome of a stopped trial -> what stopped it."""
USES = ("train", "evaluation", "startup", "idle")


@dataclass(frozen=True)
class Gauge:
    """The meaning of a number, and its labels in addition to `sweep`."""

    about: str
    labels: tuple[str, ...] = ()

    @property
    def tag_keys(self) -> tuple[str, ...]:
        return ("sweep", *self.labels)


GAUGES: Mapping[str, Gauge] = {
    "letheon_sweep_state": Gauge("1 for the sweep's current state, 0 for the others", ("state",)),
    "letheon_trials": Gauge("trials of a forget fraction by state", ("stratum", "state")),
    "letheon_planned_trials": Gauge("most trials the sweep starts; NaN if only epochs or hours limit it"),
    "letheon_pruned_trials": Gauge("trials stopped before their last epoch, by what stopped them", ("reason",)),
    "letheon_trial_epochs": Gauge("epochs of all trials of a forget fraction", ("stratum",)),
    "letheon_saved_trial_epochs": Gauge("epochs not run by trials that the scheduler stopped", ("stratum",)),
    "letheon_front_points": Gauge("checkpoints on the front of a forget fraction", ("stratum",)),
    "letheon_hypervolume": Gauge("hypervolume of a front, in the metrics' own units", ("stratum",)),
    "letheon_hypervolume_share": Gauge("share of the possible hypervolume of a front; NaN if unknown", ("stratum",)),
    "letheon_slot_seconds": Gauge("seconds of all slots by use", ("use",)),
    "letheon_gpu_seconds": Gauge("GPU-seconds of all slots by use", ("use",)),
    "letheon_wasted_slot_seconds": Gauge("slot-seconds of stopped or failed trials without a front point"),
    "letheon_saved_slot_seconds": Gauge("estimated cost of the saved epochs, at the mean of their forget fraction"),
    "letheon_budget_used": Gauge("used share of a budget limit", ("limit",)),
    "letheon_seconds_left": Gauge("estimated seconds until the search ends; NaN if unknown"),
    "letheon_tracking_rows_behind": Gauge("journal rows that a failing tracking store does not have yet"),
}


@dataclass(frozen=True)
class Reading:
    """One number. `tags` has a value for every label of its gauge."""

    gauge: str
    tags: Mapping[str, str]
    value: float


def readings(view: LiveView) -> Iterator[Reading]:
    """Every number of the view. Counts of zero are included."""
    sweep = view.state.sweep

    def read(gauge: str, value: float | None, **labels: str) -> Reading:
        return Reading(gauge, {"sweep": sweep, **labels}, math.nan if value is None else float(value))

    for state in STATES:
        yield read("letheon_sweep_state", state == view.state.state, state=state)
    yield read("letheon_planned_trials", view.spec.planned)
    for key, stratum in view.strata.items():
        for state in TRIAL_STATES:
            yield read("letheon_trials", stratum.counts.get(state, 0), stratum=key, state=state)
        yield read("letheon_trial_epochs", stratum.epochs, stratum=key)
        yield read("letheon_saved_trial_epochs", stratum.epochs_saved, stratum=key)
        yield read("letheon_front_points", len(stratum.front.get("points", ())), stratum=key)
        yield read("letheon_hypervolume", stratum.front.get("hypervolume", 0.0), stratum=key)
        yield read("letheon_hypervolume_share", stratum.share, stratum=key)
    for outcome, reason in REASONS.items():
        yield read("letheon_pruned_trials", view.state.counts.get(outcome, 0), reason=reason)
    work = view.cost.total
    for use, seconds in zip(USES, (work.train, work.evaluation, work.startup, view.cost.idle), strict=True):
        yield read("letheon_slot_seconds", seconds, use=use)
        yield read("letheon_gpu_seconds", seconds * view.cost.gpus, use=use)
    yield read("letheon_wasted_slot_seconds", work.wasted)
    yield read("letheon_saved_slot_seconds", work.seconds_saved)
    for name, limit, used in view.budget:
        yield read("letheon_budget_used", used / limit, limit=name)
    yield read("letheon_seconds_left", view.left.seconds)
    yield read("letheon_tracking_rows_behind", (view.state.tracking or {}).get("behind", 0))
