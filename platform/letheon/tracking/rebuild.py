"""Journal rows of a sweep whose run has no journal: as far as its runs' parameters, tags and latest metrics tell. Pure.

What MLflow does not say is missing: of each trial only the last epoch, of decisions only the rung and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from letheon.records import Row
from letheon.tracking.runs import TRIAL_KEYS

if TYPE_CHECKING:
    from mlflow.entities import Run

_OUTCOME_OF_STATUS = {"FINISHED": "completed", "KILLED": "pruned", "FAILED": "failed"}


def rows_of(parent: Run, children: Sequence[Run]) -> list[Row]:
    """The sweep's rows in the order of time, numbered from 1. Of several runs of a trial the first in `children`."""
    found: list[Row] = [{"kind": "sweep", "time": _seconds(parent.info.start_time), "state": "running"}]
    seen: set[str] = set()
    for run in children:
        trial = run.data.tags.get("letheon.trial_id")
        if trial and trial not in seen and run.data.tags.get("letheon.fraction"):
            seen.add(trial)
            found += _of_trial(run, trial)
    state = parent.data.tags.get("letheon.state", "finished")
    if state not in ("preparing", "running"):
        ended = _seconds(parent.info.end_time or parent.info.start_time)
        last = max([ended, *(row["time"] for row in found)])
        found.append({"kind": "sweep", "time": last, "state": state, "detail": parent.data.tags.get("letheon.detail")})
    order = sorted(found, key=lambda row: float(row["time"]))
    return [{**row, "seq": seq} for seq, row in enumerate(order, 1)]


def _of_trial(run: Run, trial: str) -> list[Row]:
    tags, started = run.data.tags, _seconds(run.info.start_time)
    ended = max(started, _seconds(run.info.end_time or run.info.start_time))
    config = {name: _value(text) for name, text in run.data.params.items()}
    rows: list[Row] = [
        {"kind": "trial", "time": started, "trial": trial, "stratum": tags["letheon.fraction"], "config": config}
    ]
    metrics = {name: value for name, value in run.data.metrics.items() if not name.startswith(TRIAL_KEYS)}
    epoch = int(metrics.pop("epoch", 0))
    outcome = tags.get("letheon.outcome", _OUTCOME_OF_STATUS.get(run.info.status, "running"))
    over = outcome not in ("running", "interrupted")
    if epoch >= 1:
        rung = tags.get("letheon.rung", "")
        decision = {
            "action": "stop" if over else "continue",
            "epoch": epoch,
            "rung": int(rung) if rung.isdecimal() else None,
            "reason": tags.get("letheon.reason", ""),
        }
        facts = {"trial": trial, "epoch": epoch, "metrics": metrics, "decision": decision}
        rows.append({"kind": "report", "time": ended, **facts})
    if over:
        facts = {"trial": trial, "outcome": outcome, "reason": tags.get("letheon.reason", ""), "epoch": epoch}
        rows.append({"kind": "end", "time": ended, **facts})
    return rows


def _value(text: str) -> Any:
    """A parameter as it was before it became text: numbers and booleans as such, anything else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | str) else text


def _seconds(milliseconds: int | None) -> float:
    return (milliseconds or 0) / 1000
