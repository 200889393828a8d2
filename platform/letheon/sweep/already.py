"""Whether a sweep is finished and recorded already, so that to resume it is to do nothing. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letheon.analysis.seeds import front_with_means
from letheon.journal import Journal, Row, summary
from letheon.search.controller import Conductor
from letheon.search.memory_journal import MemoryLedger
from letheon.sweep.finish import REPORT, Outcome

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.sweep.sweep import Sweep


def finished_already(sweep: Sweep) -> Outcome | None:
    """How it ended; None where anything is left to do: trials, an audit, the report, or its records."""
    from letheon.sweep.audit import is_audited

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
    from letheon.common.redaction import redact
    from letheon.tracking.reader import sweeps
    from letheon.tracking.store.errors import SweepNotFoundError, TrackingError

    try:
        client = sweeps.open_store(sweep.root)
        _, run = sweeps.find_sweep(client, sweep.name, sweep.spec.name)
    except (TrackingError, SweepNotFoundError):
        return None
    return redact(client.tracking_uri) if run.tags.get("letheon.state") == "finished" else None
