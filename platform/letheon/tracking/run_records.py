"""Journal rows -> what the MLflow runs of a sweep must hold. Pure bookkeeping; does not know MLflow's client.

A `Book` takes rows one at a time, in order, and keeps for the sweep and for every trial what has not been written yet:
metric points, parameters, tags and the status. A non-finite metric is kept as NaN (MLflow's SQL store turns an infinity
into the largest double, which ruins every plot) and named in the tag `letheon.non_finite`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from letheon.analysis.growth import FrontUpdate, HypervolumeHistory
from letheon.checkpoints.best import Best
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

BEST = "letheon.checkpoints.best"  # tag: the epoch of a trial's best checkpoint, "none" where nothing is feasible
RETAIN = "letheon.retain"  # tag: the retain models' metrics are among the sweep's
NOTE = "mlflow.note.content"  # tag: what MLflow shows as a run's description
MAX_TEXT = 1000  # characters of a reason or a detail: a stack trace belongs in the trial's log file
MAX_VALUE = 5000  # characters of a parameter or tag: the smallest limit among supported MLflow servers
_MARGIN = 2000  # what is cut off is not searched for secrets, but none may be cut in two
_BAD_KEY = re.compile(r"[^\w\-. /]")


class Point(NamedTuple):
    """One metric value. `time` is in milliseconds since the epoch, taken from the journal, so a replay is identical."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class Record:
    """What one run must hold. `points`, `params` and `tags` are those not yet written; times are in milliseconds.

    `audits`: points that come after the run's last epoch, by a name (an epoch, or a stratum) that is in the run's tag
    `letheon.audited` once they are written. `once`: points that are told once, by the tag that comes with them.
    `title`: what the trial tries, for people.
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


class Book:
    """The sweep's record, one record a trial, and which of them changed since they were last written.

    `data`: what was forgotten, kept and held out by fraction, as the journal has it (`data_facts.data_sets`).
    """

    def __init__(self, goals: Goals | None = None) -> None:
        self.sweep: Record | None = None
        self.trials: dict[str, Record] = {}
        self.changed: dict[str, Record] = {}
        self.data: Mapping[str, Any] = {}
        self._goals = (goals or Goals()).search_goals
        self._growth, self._best = HypervolumeHistory(self._goals), Best(self._goals)

    def apply(self, row: Mapping[str, Any]) -> None:
        """Take the next journal row. Rows of an unknown kind are left to later versions."""
        moment = milliseconds(row["time"])
        if self.sweep is None:
            self.sweep = Record(name="", started=moment)
        self._grow(self.sweep, row, moment)
        match row["kind"]:
            case "sweep":
                self._absorb_sweep(self.sweep, row, moment)
            case "trial":
                self._absorb_trial(row, moment)
            case "report":
                self._absorb_report(row, moment)
            case "end":
                self._absorb_end(row, moment)
            case "audit":
                self._absorb_audit(self.sweep, row, moment)

    def _grow(self, sweep: Record, row: Mapping[str, Any], moment: int) -> None:
        """A step of the sweep's own metrics, `epochs` last, whenever a front has grown."""
        step: FrontUpdate | None = self._growth.take(dict(row))
        if step is not None:
            values = {
                f"hypervolume/{step.stratum}": step.share,
                f"front_points/{step.stratum}": float(step.points),
                "slot_seconds": step.slot_seconds,
                SPENT: float(step.epochs),
            }
            sweep.points += [Point(clean_key(key), value, moment, step.epochs) for key, value in values.items()]

    def _absorb_sweep(self, sweep: Record, row: Mapping[str, Any], moment: int) -> None:
        state = str(row["state"])
        sweep.status = STATUS_OF_SWEEP.get(state, "RUNNING")
        sweep.ended = None if sweep.status == "RUNNING" else moment
        sweep.tags["letheon.state"] = state
        if row.get("detail"):
            sweep.tags["letheon.detail"] = shorten(str(row["detail"]), MAX_TEXT)
        info = dict(row.get("info") or {})
        self.data = info.pop("data", self.data)
        retain = info.pop("retain", None)
        if retain and RETAIN not in sweep.tags:  # a resumed sweep tells it again
            told = {f"retain/{key}/{name}": value for key, of in retain.items() for name, value in of.items()}
            sweep.once[RETAIN] = _points(sweep, told, 0, moment)
            sweep.tags[RETAIN] = "true"
        sweep.tags.update({f"letheon.{key}": value for key, value in flatten(info).items()})
        if state in ("interrupted", "failed"):
            self._close_running(moment)

    def _close_running(self, moment: int) -> None:
        """The driver is gone: no run may look alive. A later report of the trial opens its run again."""
        for trial, record in self.trials.items():
            if record.status == "RUNNING":
                record.status, record.ended = "KILLED", moment
                record.tags["letheon.outcome"] = "interrupted"
                self.changed[trial] = record

    def _absorb_trial(self, row: Mapping[str, Any], moment: int) -> None:
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

    def _absorb_report(self, row: Mapping[str, Any], moment: int) -> None:
        record = self._reopened(row, moment)
        self._add_points(record, row["metrics"], int(row["epoch"]), moment)
        self._best.take(row)
        rung = (row.get("decision") or {}).get("rung")
        if rung is not None:
            record.tags["letheon.rung"] = str(rung)

    def _absorb_end(self, row: Mapping[str, Any], moment: int) -> None:
        record = self._reopened(row, moment)
        outcome = str(row["outcome"])
        record.status, record.ended = STATUS_OF_OUTCOME.get(outcome, "FAILED"), moment
        record.tags["letheon.outcome"] = outcome
        reason = shorten(str(row.get("reason") or ""), MAX_TEXT)
        record.tags["letheon.reason"] = reason
        record.tags[NOTE] = f"{record.title}\n\n**{outcome}** {reason}".strip()
        self._tell_best(record, str(row["trial"]), moment)

    def _tell_best(self, record: Record, trial: str, moment: int) -> None:
        """One number to sort trials by, and the objectives of the checkpoint it stands for: no area where none is
        feasible, for MLflow compares trials by the metrics that all of them have."""
        area, row = self._best.of(trial) or (0.0, {})
        record.tags[BEST] = str(row.get("epoch", "none"))
        record.once[BEST] = [Point("best/area", area, moment, 0)]
        if row:
            wanted = dict.fromkeys([*(axis.metric for axis in self._goals.axes), "utility_ratio"])
            found = {key: number for key in wanted if (number := as_number(row["metrics"].get(key, ""))) is not None}
            values = {"epoch": float(row["epoch"]), **found}
            record.once[BEST] += [Point(f"best/{key}", value, moment, 0) for key, value in values.items()]

    def _absorb_audit(self, sweep: Record, row: Mapping[str, Any], moment: int) -> None:
        """A checkpoint's belongs to its trial's run, as it is; a retain model's (epoch 0) to the sweep's."""
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

    def _reopened(self, row: Mapping[str, Any], moment: int) -> Record:
        trial = str(row["trial"])
        record = self.trials.setdefault(trial, Record(name=trial, started=moment, tags={"letheon.trial_id": trial}))
        record.status, record.ended = "RUNNING", None
        record.tags["letheon.outcome"] = "running"
        self.changed[trial] = record
        return record

    @staticmethod
    def _add_points(record: Record, metrics: Mapping[str, Any], epoch: int, moment: int) -> None:
        """`epoch` comes last: its value in the store says that everything before it of that epoch is there too."""
        record.points += _points(record, metrics, epoch, moment)
        record.points.append(Point("epoch", float(epoch), moment, epoch))


def _points(record: Record, metrics: Mapping[str, Any], epoch: int, moment: int, prefix: str = "") -> list[Point]:
    """The numbers among `metrics`; those that are not finite are NaN, and named in a tag of the record."""
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
    """Nested mappings as dotted keys, lists as JSON; without None and secrets, lengths within MLflow's limits."""
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
    """A key that MLflow takes: letters, digits, `_-. /`, at most 200 characters."""
    return _BAD_KEY.sub("_", key)[:200]


def shorten(text: str, limit: int) -> str:
    """`text` without secrets and at most `limit` characters, an ellipsis included."""
    text = redact(text[: limit + _MARGIN])
    return text if len(text) <= limit else text[: limit - 1] + "…"
