"""Turns journal rows into what the MLflow runs of a sweep must hold. Pure; independent of MLflow's client.

`RunRecords` applies rows in order, and keeps what is not yet written of the sweep and of every trial: metric points,
parameters, tags and status. A non-finite metric becomes NaN and is named in the tag `letheon.non_finite`, for MLflow's
SQL store turns an infinity into the largest double, which ruins every plot.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from letheon.analysis.growth import HypervolumeHistory
from letheon.checkpoints.best import BestCheckpoints
from letheon.common.numbers import as_number, milliseconds
from letheon.common.redaction import redact
from letheon.pareto.labels import short_config
from letheon.pareto.objectives import Goals
from letheon.tracking.store.runs import AUDITED, SPENT, Status

STATUS_OF_OUTCOME: Mapping[str, Status] = {
    "completed": "FINISHED",
    "pruned": "KILLED",
    "stopped": "KILLED",
    "collapsed": "KILLED",
    "failed": "FAILED",
}
STATUS_OF_SWEEP: Mapping[str, Status] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}

BEST = "letheon.best"  # tag: the epoch of a trial's best checkpoint, "none" if no checkpoint is feasible
RETAIN = "letheon.retain"  # tag: the sweep's run has the retain models' metrics
FAST_PATHS = "letheon.fast_paths"  # tag: of a trial's worker, `on`, `off: reason` or `not used` for each
NOTE = "mlflow.note.content"  # tag: what MLflow shows as a run's description
MAX_TEXT = 1000  # characters of a reason or a detail: a stack trace belongs in the trial's log file
MAX_VALUE = 5000  # characters of a parameter, tag or description: the smallest limit of supported MLflow servers
_MARGIN = 2000  # characters past the limit that are redacted too, so that no secret is cut in two
_BAD_KEY = re.compile(r"[^\w\-. /]")


class Point(NamedTuple):
    """One metric value. `time`: unix milliseconds from the journal, so that a replay is identical."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class Record:
    """What one run must hold. `points`, `params` and `tags`: those not yet written. Times are in unix milliseconds.

    `audits`: points after the run's last epoch, by a name (an epoch, or a stratum) that the run's tag `letheon.audited`
    lists once they are written. `once`: points to be written once, by the tag that is set with them.
    `title`: the trial's configuration in a few words.
    """

    name: str
    started: int
    status: Status = "RUNNING"
    ended: int | None = None
    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    non_finite: list[str] = field(default_factory=list)
    audits: dict[str, list[Point]] = field(default_factory=dict)
    audited: list[str] = field(default_factory=list)
    once: dict[str, list[Point]] = field(default_factory=dict)
    title: str = ""


class RunRecords:
    """The records of the sweep and of every trial, and which of the latter changed since they were last written.

    `data`: the forget, retain and holdout sets by fraction, from the journal (`preparation.datasets`).
    """

    def __init__(self, goals: Goals | None = None) -> None:
        self.sweep: Record | None = None
        self.trials: dict[str, Record] = {}
        self.changed: dict[str, Record] = {}
        self.data: Mapping[str, Any] = {}
        self._goals = (goals or Goals()).search_goals
        self._growth, self._best = HypervolumeHistory(self._goals), BestCheckpoints(self._goals)

    def apply(self, row: Mapping[str, Any]) -> None:
        """Apply the next journal row. Rows of unknown kinds, from later versions, are ignored."""
        moment = milliseconds(row["time"])
        if self.sweep is None:
            self.sweep = Record(name="", started=moment)
        self._add_growth(self.sweep, row, moment)
        match row["kind"]:
            case "sweep":
                self._apply_sweep(self.sweep, row, moment)
            case "trial":
                self._apply_trial(row, moment)
            case "report":
                self._apply_report(row, moment)
            case "end":
                self._apply_end(row, moment)
            case "audit":
                self._apply_audit(self.sweep, row, moment)

    def _add_growth(self, sweep: Record, row: Mapping[str, Any], moment: int) -> None:
        """Points of the sweep's own metrics, `epochs` last, if the row changes a front."""
        update = self._growth.take(dict(row))
        if update is not None:
            values = {
                f"hypervolume/{update.stratum}": update.share,
                f"front_points/{update.stratum}": float(update.points),
                "slot_seconds": update.slot_seconds,
                SPENT: float(update.epochs),
            }
            sweep.points += [Point(clean_key(key), value, moment, update.epochs) for key, value in values.items()]

    def _apply_sweep(self, sweep: Record, row: Mapping[str, Any], moment: int) -> None:
        state = str(row["state"])
        sweep.status = STATUS_OF_SWEEP.get(state, "RUNNING")
        sweep.ended = None if sweep.status == "RUNNING" else moment
        sweep.tags["letheon.state"] = state
        if row.get("detail"):
            sweep.tags["letheon.detail"] = shorten(str(row["detail"]), MAX_TEXT)
        info = dict(row.get("info") or {})
        self.data = info.pop("data", self.data)
        retain = info.pop("retain", None)
        if retain and RETAIN not in sweep.tags:  # a resumed sweep repeats it
            values = {f"retain/{key}/{name}": value for key, of in retain.items() for name, value in of.items()}
            sweep.once[RETAIN] = _points(sweep, values, 0, moment)
            sweep.tags[RETAIN] = "true"
        sweep.tags.update({f"letheon.{key}": value for key, value in flatten(info).items()})
        if state in ("interrupted", "failed"):
            self._close_running(moment)

    def _close_running(self, moment: int) -> None:
        """The driver is gone, so no run may look alive. A later report of the trial reopens its run."""
        for trial, record in self.trials.items():
            if record.status == "RUNNING":
                record.status, record.ended = "KILLED", moment
                record.tags["letheon.outcome"] = "interrupted"
                self.changed[trial] = record

    def _apply_trial(self, row: Mapping[str, Any], moment: int) -> None:
        trial = str(row["trial"])
        config = row.get("config") or {}
        record = self.trials.setdefault(trial, Record(name=trial, started=moment))
        record.params.update(flatten(config))
        record.tags.update({"letheon.trial_id": trial, "letheon.outcome": "running"})
        known = {"method": config.get("method"), "fraction": row.get("stratum")}
        record.tags.update({f"letheon.{key}": str(value) for key, value in known.items() if value is not None})
        record.name = " ".join([trial, *(str(value) for value in known.values() if value is not None)])
        record.title = shorten(short_config(config), MAX_TEXT)
        record.tags[NOTE] = record.title
        if row.get("baseline"):
            self._add_points(record, row["baseline"], 0, moment)
        self.changed[trial] = record

    def _apply_report(self, row: Mapping[str, Any], moment: int) -> None:
        record = self._reopen(row, moment)
        self._add_points(record, row["metrics"], int(row["epoch"]), moment)
        self._best.take(row)
        if row.get("fast_paths"):
            record.tags[FAST_PATHS] = shorten(str(row["fast_paths"]), MAX_TEXT)
        rung = (row.get("decision") or {}).get("rung")
        if rung is not None:
            record.tags["letheon.rung"] = str(rung)

    def _apply_end(self, row: Mapping[str, Any], moment: int) -> None:
        record = self._reopen(row, moment)
        outcome = str(row["outcome"])
        record.status, record.ended = STATUS_OF_OUTCOME.get(outcome, "FAILED"), moment
        record.tags["letheon.outcome"] = outcome
        reason = shorten(str(row.get("reason") or ""), MAX_TEXT)
        record.tags["letheon.reason"] = reason
        record.tags[NOTE] = f"{record.title}\n\n**{outcome}** {reason}".strip()
        self._add_best(record, str(row["trial"]), moment)

    def _add_best(self, record: Record, trial: str, moment: int) -> None:
        """One number to sort trials by, and the objectives of that checkpoint.

        The area is 0 if no checkpoint is feasible, for MLflow compares trials only by metrics that all of them have.
        """
        area, row = self._best.of(trial) or (0.0, {})
        record.tags[BEST] = str(row.get("epoch", "none"))
        record.once[BEST] = [Point("best/area", area, moment, 0)]
        if row:
            wanted = dict.fromkeys([*(axis.metric for axis in self._goals.axes), "utility_ratio"])
            found = {key: number for key in wanted if (number := as_number(row["metrics"].get(key, ""))) is not None}
            values = {"epoch": float(row["epoch"]), **found}
            record.once[BEST] += [Point(f"best/{key}", value, moment, 0) for key, value in values.items()]

    def _apply_audit(self, sweep: Record, row: Mapping[str, Any], moment: int) -> None:
        """An audit of a checkpoint goes to its trial's run, one of a retain model (epoch 0) to the sweep's."""
        trial, epoch = str(row["trial"]), int(row["epoch"])
        if epoch:
            record, name, prefix = self.trials.setdefault(trial, Record(name=trial, started=moment)), str(epoch), ""
            self.changed[trial] = record
        else:
            record, name = sweep, str(row["stratum"])
            prefix = f"retain/{name}/"
        record.audits[name] = _points(record, row["metrics"], epoch, moment, prefix)
        record.audited.append(name)
        record.tags[AUDITED] = ",".join(record.audited)

    def _reopen(self, row: Mapping[str, Any], moment: int) -> Record:
        trial = str(row["trial"])
        record = self.trials.setdefault(trial, Record(name=trial, started=moment, tags={"letheon.trial_id": trial}))
        record.status, record.ended = "RUNNING", None
        record.tags["letheon.outcome"] = "running"
        self.changed[trial] = record
        return record

    @staticmethod
    def _add_points(record: Record, metrics: Mapping[str, Any], epoch: int, moment: int) -> None:
        """`epoch` comes last: its value in the store means that everything of that epoch is there."""
        record.points += _points(record, metrics, epoch, moment)
        record.points.append(Point("epoch", float(epoch), moment, epoch))


def _points(record: Record, metrics: Mapping[str, Any], epoch: int, moment: int, prefix: str = "") -> list[Point]:
    """Points of the numbers among `metrics`. Non-finite ones become NaN and are named in a tag of the record."""
    points = []
    for key, value in metrics.items():
        number = as_number(value)
        if number is None or key == "epoch":
            continue
        if not math.isfinite(number):
            record.non_finite.append(f"{prefix}{key}@{epoch}={number}")
            record.tags["letheon.non_finite"] = shorten(", ".join(record.non_finite), MAX_TEXT)
            number = math.nan
        points.append(Point(clean_key(prefix + key), number, moment, epoch))
    return points


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys, lists as JSON. None is left out, secrets are redacted, long values cut."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        path = f"{prefix}{clean_key(str(key))}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{path}."))
        elif isinstance(value, list | tuple):
            flat[path] = shorten(json.dumps(value, default=str), MAX_VALUE)
        elif value is not None:
            flat[path] = shorten(str(value), MAX_VALUE)
    return flat


def clean_key(key: str) -> str:
    """A key that MLflow accepts: letters, digits and `_-. /`, at most 200 characters."""
    return _BAD_KEY.sub("_", key)[:200]


def shorten(text: str, limit: int) -> str:
    """`text` redacted and cut to `limit` characters, including the ellipsis."""
    text = redact(text[: limit + _MARGIN])
    return text if len(text) <= limit else text[: limit - 1] + "…"
