"""Whether a sweep is finished and recorded already, so that to resume it is to do nothing. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letheon.conductor import Conductor
from letheon.ending import REPORT, Outcome
from letheon.records import Journal, Row, summary
from letheon.seeds import front_with_means
from letheon.simulator import MemoryLedger

if TYPE_CHECKING:
    from letheon.spec import SweepSpec
    from letheon.sweep import Sweep


def finished_already(sweep: Sweep) -> Outcome | None:
    """How it ended; None where anything is left to do: trials, an audit, the report, or its records."""
    from letheon.audit import is_audited

    rows = Journal.read(sweep.journal)
    state, report = summary(rows, sweep.name), sweep.folder / REPORT
    if state.state != "finished" or not report.is_file() or not _searched(sweep.spec, rows):
        return None
    if sweep.spec.audit and not is_audited(sweep, rows):
        return None
    where = _recorded(sweep)
    if where is None:
        return None
    front = front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals)
    return Outcome(
        sweep.name, sweep.folder, "finished", front, None, report, state.seconds, where, over=state.detail, already=True
    )


def _searched(spec: SweepSpec, rows: list[Row]) -> bool:
    """Whether nothing is open and nothing is to come, by the sweep file as it is now: its budget may have grown."""
    ledger = MemoryLedger()
    ledger.rows, ledger.time = list(rows), float(rows[-1]["time"])
    return Conductor(spec, ledger).finished


def _recorded(sweep: Sweep) -> str | None:
    """Where the tracking store has it as finished; None if it has not, or cannot be asked."""
    from letheon.redact import redact
    from letheon.tracking import TrackingError, read
    from letheon.tracking.errors import SweepNotFoundError

    try:
        client = read.open_store(sweep.root)
        _, run = read.find_sweep(client, sweep.name, sweep.spec.name)
    except (TrackingError, SweepNotFoundError):
        return None
    return redact(client.tracking_uri) if run.tags.get("letheon.state") == "finished" else None
