"""Assembles a sweep and runs it, or goes on with an interrupted one: the same code, for the journal says what is left.

A resumed sweep is a new Tune experiment over the unfinished trials: the journal holds every decision, each trial's
folder every finished epoch, so nothing depends on Tune's own snapshots. What a trial does, and what is decided about
it, is elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.cluster.capacity import DoesNotFit, machine, shortage
from letheon.cluster.sizing import resolve_auto_gpus
from letheon.cluster.slots import SlotCounter
from letheon.common.counting import several
from letheon.common.disk import explain_full_disk
from letheon.common.files import write_atomically
from letheon.common.paths import SPEC
from letheon.common.stop_request import StopRequest
from letheon.common.threads import run_at_low_priority
from letheon.journal import Journal, Row, SweepLock
from letheon.preparation.builder import build_artifacts
from letheon.preparation.layout import layout
from letheon.spec.load import dump_spec, resolved
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import trial_count
from letheon.sweep.finish import Outcome, finish, interrupted
from letheon.sweep.recording import tracker_of
from letheon.sweep.resume_checks import (
    begun_with,
    finished_already,
    recorded,
    require_same_inputs,
    require_same_spec,
)
from letheon.sweep.setup import (
    conductor_of,
    digests,
    facts,
    require_objectives,
    tune_config,
)
from letheon.sweep.sweep import Say, Show, Sweep, SweepExists, find_sweep, free_name
from letheon.tune.run import search
from trainables.runtime.events import mark
from trainables.runtime.imports import gc_paused

if TYPE_CHECKING:
    from letheon.preparation.artifacts import Prepared
    from letheon.search.controller import SweepController
    from letheon.sweep.mirror import Mirror
    from letheon.tracking.tracker import Tracker
    from letheon.workers.pool import Pool


EXPORT_SECONDS, LATEST_EXPORT_SECONDS = 1.0, 10.0
"""How often gauges are set anew: looking at all trials takes longer the more there are, and Ray passes them on every
ten seconds."""


def run_sweep(
    spec: SweepSpec, root: Path, name: str | None = None, address: str | None = None, *, show: Show, say: Say
) -> Outcome:
    """Prepare and search. Without a name the sweep is called after its file.

    Raises:
        SweepExists, DoesNotFit, PreparationFailed, TrackingError, LockHeld, and what `sizing.sized` raises.
    """
    root, spec = root.resolve(), resolve_auto_gpus(spec, address, say)
    if address is None and (problem := shortage([machine()], spec.trial.workers_config)):
        raise DoesNotFit(problem)  # a cluster's nodes are only known once it is joined
    sweep = Sweep(spec, name or free_name(root, spec.name), root)
    with explain_full_disk(sweep.folder, sweep.name, sweep.root), SweepLock(sweep.folder):
        file = sweep.folder / SPEC
        if file.exists():
            raise SweepExists(f"sweep {sweep.name!r} exists; `letheon resume {sweep.name}`, or choose another --name")
        _check_warm_start(sweep)
        tracker = tracker_of(sweep)
        tracker.begin_check()
        write_atomically(file, dump_spec(spec).encode())
        return _drive(sweep, tracker, address, show, say)


def resume_sweep(name: str, root: Path, address: str | None = None, *, show: Show, say: Say) -> Outcome:
    """Go on after any crash: finished trials stay, unfinished ones go on from their last epoch. A sweep that is
    finished and recorded stays as it is.

    Raises:
        SweepNotFound, SweepChanged, and what `run_sweep` raises.
    """
    sweep = find_sweep(name, root)
    with explain_full_disk(sweep.folder, sweep.name, sweep.root), SweepLock(sweep.folder):
        require_same_spec(Journal.read(sweep.journal), resolved(sweep.spec), name)
        if (outcome := finished_already(sweep)) is not None:
            return outcome
        tracker = tracker_of(sweep)
        tracker.begin_check()
        return _drive(sweep, tracker, address, show, say)


def _drive(sweep: Sweep, tracker: Tracker, address: str | None, show: Show, say: Say) -> Outcome:
    """From whatever the journal says to the end, or until it is asked to stop."""
    from letheon.sweep.mirror import Mirror

    journal, mirror = Journal(sweep.journal), Mirror(tracker, sweep.folder)
    spec = {} if begun_with(journal.rows) else {"spec": recorded(resolved(sweep.spec))}
    journal.append("sweep", state="preparing", **spec)

    def note(cause: str) -> None:
        journal.append("sweep", state="interrupted", detail=cause)

    started, stop = time.monotonic(), StopRequest(sweep.command("resume"), say, note)
    with stop.listening():
        try:
            problem, over = _work(sweep, mirror, journal, address, show, say, stop)
        except KeyboardInterrupt:
            stop.notice()
            mark("Ray is gone", sweep.logs)
            return interrupted(sweep, mirror, journal, time.monotonic() - started)
        except BaseException as error:
            with suppress(OSError):  # the full disk that it failed of
                journal.append("sweep", state="failed", detail=f"{type(error).__name__}: {error}")
                mirror.complete(journal.rows)
            raise
    mark("Ray is gone", sweep.logs)
    return finish(sweep, mirror, journal, problem, over)


def _work(
    sweep: Sweep, mirror: Mirror, journal: Journal, address: str | None, show: Show, say: Say, stop: StopRequest
) -> tuple[str | None, str | None]:
    """All that needs Ray. Returns what went wrong after the search, and why the search is over. Raises Stopped."""
    from letheon.cluster.session import ray_session
    from letheon.monitor.exporter import exporter_of
    from letheon.sweep.mirror import Throttle
    from letheon.sweep.recording import Recorder
    from letheon.workers.pool import pool_of

    exporter, exports = exporter_of(sweep.folder, sweep.spec), Throttle(EXPORT_SECONDS, LATEST_EXPORT_SECONDS)

    def show_and_export(rows: Sequence[Row]) -> None:
        show(rows)
        if exports.due:
            began = time.perf_counter()
            exporter.export()
            exports.took(time.perf_counter() - began)

    with ray_session(address, sweep.spec.trial.gpus):
        mark("Ray is up", sweep.logs)
        stop.check()
        room = SlotCounter(sweep.spec.trial.workers_config, joined=address is not None)
        with pool_of(sweep.spec, room(), sweep.folder, room.joined, stop) as pool:
            if not any(row["kind"] == "trial" for row in journal.rows):
                pool.grow(_slots(sweep, room))  # a sweep that goes on may have nothing to do; this one has
            with gc_paused():
                run_at_low_priority(mirror.tracker.finish_check)  # while the workers start
            mark("records are open", sweep.logs)
            with Recorder(journal, mirror, sweep.trials, sweep.goals, show_and_export):
                prepared, searched = _prepare_and_search(sweep, room, pool, journal, say, stop)
                return _audit(sweep, prepared, pool, journal, say), searched.end_reason


def _prepare_and_search(
    sweep: Sweep, room: SlotCounter, pool: Pool, journal: Journal, say: Say, stop: StopRequest
) -> tuple[Prepared, SweepController]:
    """What was prepared, and the conductor, which knows why the search is over. Raises Stopped."""
    most, slots = trial_count(sweep.spec), _slots(sweep, room)
    require_same_inputs(journal.rows, lambda: digests(layout(sweep.spec, sweep.root)), sweep.name)
    prepared = build_artifacts(sweep.spec, sweep.root, pool, say)
    require_objectives(sweep, prepared)
    _warm_up(sweep, prepared, journal, say)
    journal.append("sweep", state="running", info={"slots": slots, **facts(sweep, prepared)})
    conductor = conductor_of(sweep, prepared)
    if not conductor().finished:
        amount = f"at most {several(most, 'trial')}" if most is not None else "trials until the budget is used"
        say(f"searching: {amount}, {slots} at a time")
        pool.grow(slots)
        mark("search begins", sweep.logs)
        configure = partial(tune_config, sweep, prepared)
        search(sweep.folder, conductor, configure, room, pool, sweep.spec.trial.max_failures, stop)
        mark("search is over", sweep.logs)
    return prepared, conductor()


def _slots(sweep: Sweep, room: SlotCounter) -> int:
    """How many trials run at once, as the cluster is now."""
    most = trial_count(sweep.spec)
    return room() if most is None else min(room(), most)


def _check_warm_start(sweep: Sweep) -> None:
    """Refuse other experiments before anything is prepared: digests are known by then."""
    if sweep.spec.searcher.warm_start:
        from letheon.sweep.warm_start import warm_rows

        warm_rows(sweep, layout(sweep.spec, sweep.root))


def _warm_up(sweep: Sweep, prepared: Prepared, journal: Journal, say: Say) -> None:
    """Copy earlier trials into the journal, once: a resumed sweep has them."""
    from letheon.sweep.warm_start import warm_rows

    names = sweep.spec.searcher.warm_start
    if names and not any(row["kind"] == "trial" for row in journal.rows):
        earlier = warm_rows(sweep, prepared)
        for fields in earlier:
            journal.append("warm", **fields)
        say(f"warm start: {several(len(earlier), 'trial')} of {', '.join(names)}")


def _audit(sweep: Sweep, prepared: Prepared, pool: Pool, journal: Journal, say: Say) -> str | None:
    """Attack the front if the sweep is to end so. An audit that fails does not take the front away: why it did."""
    from letheon.sweep.audit import AuditFailed, audit_front

    if not sweep.spec.audit:
        return None
    try:
        audit_front(sweep, prepared, journal, pool, say)
    except AuditFailed as error:
        return f"{error}; try again: letheon audit {sweep.name}"
    return None
