"""Assembles a sweep and runs or resumes it, with the same code, since the journal says what is left to do.

A resumed sweep is a new Tune experiment over the unfinished trials: the journal has every decision, each trial's folder
every finished epoch, so nothing depends on Tune's own snapshots.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.cluster.capacity import DoesNotFit, machine, shortage
from letheon.cluster.session import ray_session
from letheon.cluster.sizing import resolve_auto
from letheon.cluster.slots import SlotCounter
from letheon.common.counting import several
from letheon.common.disk import explain_full_disk
from letheon.common.files import write_atomically
from letheon.common.stop_request import StopRequest
from letheon.common.threads import run_at_low_priority
from letheon.journal import Journal, Row, SweepLock
from letheon.preparation.builder import build_artifacts
from letheon.preparation.layout import layout
from letheon.preparation.retain_logs import log_notes
from letheon.spec.load import dump_spec, resolved, with_copies
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import trial_count
from letheon.sweep.finish import REGISTERING, Outcome, finish, summarize_interrupted
from letheon.sweep.mirror import Mirror, Throttle
from letheon.sweep.plan_time import estimate
from letheon.sweep.recording import Recorder, tracker_of
from letheon.sweep.resume_checks import (
    already_finished,
    original_spec,
    require_same_inputs,
    require_same_spec,
    spec_for_journal,
)
from letheon.sweep.setup import controller_of, digests, facts, require_objectives, tune_config
from letheon.sweep.sweep import Say, Show, Sweep, SweepExists, find_sweep, free_name
from letheon.sweep.warm_start import warm_rows
from letheon.tune.run import search
from letheon.workers.board import Board
from letheon.workers.pool import Pool, pool_of
from trainables.runtime.events import mark
from trainables.runtime.imports import gc_paused

if TYPE_CHECKING:
    from letheon.preparation.artifacts import Prepared
    from letheon.search.controller import SweepController
    from letheon.tracking.tracker import Tracker

EXPORT_SECONDS, LATEST_EXPORT_SECONDS = 1.0, 10.0
"""Shortest and longest time between two updates of the gauges. An update visits all trials, so it slows down as they
grow in number; Ray exports gauges every ten seconds."""


def run_sweep(
    spec: SweepSpec, root: Path, name: str | None = None, address: str | None = None, *, show: Show, say: Say
) -> Outcome:
    """Prepare and search. `name` defaults to that of the sweep file, numbered if taken.

    Raises:
        SweepExists, DoesNotFit, RetainLogRefused, PreparationFailed, TrackingError, LockHeld, and those of
            `resolve_auto`.
    """
    root, spec = root.resolve(), resolve_auto(spec, address, say)
    if address is None and (problem := shortage([machine()], spec.trial.workers_config)):
        raise DoesNotFit(problem)  # a cluster's nodes are only known once it is joined
    for fraction, note in log_notes(spec).items():  # refuses a log of other rows before anything starts
        say(f"forget fraction {fraction}: {note}")
    sweep = Sweep(spec, name or free_name(root, spec.name), root)
    with explain_full_disk(sweep.folder, sweep.name, sweep.root), SweepLock(sweep.folder):
        if sweep.file.exists():
            raise SweepExists(
                f"sweep {sweep.name!r} exists; run `letheon resume {sweep.name}` or choose another --name"
            )
        _check_warm_start(sweep)
        sweep = replace(sweep, spec=with_copies(spec, sweep.folder))
        tracker = tracker_of(sweep)
        tracker.begin_check()
        write_atomically(sweep.file, dump_spec(sweep.spec).encode())
        return _drive(sweep, tracker, address, show, say)


def resume_sweep(name: str, root: Path, address: str | None = None, *, show: Show, say: Say) -> Outcome:
    """Continue after an interrupt or a crash, unfinished trials from their last epoch. Does nothing if the sweep is
    finished and recorded.

    Raises:
        SweepNotFound, SweepChanged, and those of `run_sweep`.
    """
    sweep = find_sweep(name, root, import_plugins=True)
    with explain_full_disk(sweep.folder, sweep.name, sweep.root), SweepLock(sweep.folder):
        require_same_spec(Journal.read(sweep.journal), resolved(sweep.spec), name)
        if (outcome := already_finished(sweep)) is not None:
            return outcome
        tracker = tracker_of(sweep)
        tracker.begin_check()
        return _drive(sweep, tracker, address, show, say)


def _drive(sweep: Sweep, tracker: Tracker, address: str | None, show: Show, say: Say) -> Outcome:
    """Run from the journal's state to the end, or until there is a request to stop."""
    journal, mirror = Journal(sweep.journal), Mirror(tracker, sweep.folder)
    spec = {} if original_spec(journal.rows) else {"spec": spec_for_journal(resolved(sweep.spec))}

    def note(cause: str) -> None:
        journal.append("sweep", state="interrupted", detail=cause)

    started, stop = time.monotonic(), StopRequest(sweep.command("resume"), say, note)
    with Board(sweep.folder, "starting Ray") as board:
        with stop.listening():
            journal.append("sweep", state="preparing", **spec)
            try:
                problem, over = _work(sweep, mirror, journal, board, stop, address=address, show=show, say=say)
            except KeyboardInterrupt:
                stop.notice()
                mark("Ray is gone", sweep.logs)
                return summarize_interrupted(sweep, mirror, journal, time.monotonic() - started)
            except BaseException as error:
                with suppress(OSError):  # a full disk may be the error
                    journal.append("sweep", state="failed", detail=f"{type(error).__name__}: {error}")
                    mirror.sync_all(journal.rows)
                raise
        mark("Ray is gone", sweep.logs)
        board.driver(REGISTERING)
        return finish(sweep, mirror, journal, problem, over)


def _work(  # noqa: PLR0913 (three of them by name)
    sweep: Sweep,
    mirror: Mirror,
    journal: Journal,
    board: Board,
    stop: StopRequest,
    *,
    address: str | None,
    show: Show,
    say: Say,
) -> tuple[str | None, str | None]:
    """Everything that needs Ray. Returns what went wrong after the search, and why the search ended. Raises Stopped."""
    from letheon.monitor.exporter import exporter_of

    exporter, exports = exporter_of(sweep.folder, sweep.spec), Throttle(EXPORT_SECONDS, LATEST_EXPORT_SECONDS)

    def show_and_export(rows: Sequence[Row]) -> None:
        show(rows)
        if exports.due:
            began = time.perf_counter()
            exporter.export()
            exports.record_duration(time.perf_counter() - began)

    with ray_session(address, sweep.spec.trial.gpus):
        mark("Ray is up", sweep.logs)
        stop.check()
        counter = SlotCounter(sweep.spec.trial.workers_config, joined=address is not None)
        with pool_of(sweep.spec, counter(), sweep.folder, counter.joined, stop) as pool:
            if not any(row["kind"] == "trial" for row in journal.rows):
                pool.grow(_slots(sweep, counter))  # not in a resumed sweep, which may have nothing left to do
            board.driver("opening the records")
            with gc_paused():
                run_at_low_priority(mirror.tracker.finish_check)  # while the workers start
            mark("records are open", sweep.logs)
            recorder = Recorder(journal, mirror, sweep.trials, sweep.goals, show_and_export)
            with recorder, board.watching(pool.settings.prefix):
                prepared, searched = _prepare_and_search(sweep, counter, pool, board, journal, say, stop)
                return _audit(sweep, prepared, pool, journal, say), searched.end_reason


def _prepare_and_search(
    sweep: Sweep, counter: SlotCounter, pool: Pool, board: Board, journal: Journal, say: Say, stop: StopRequest
) -> tuple[Prepared, SweepController]:
    """The prepared artifacts, and the controller, which has the reason why the search ended. Raises Stopped."""
    most, slots = trial_count(sweep.spec), _slots(sweep, counter)
    require_same_inputs(journal.rows, lambda: digests(layout(sweep.spec, sweep.root)), sweep.name)
    expected = _expected(sweep, journal, slots)
    prepared = build_artifacts(sweep.spec, sweep.root, pool, say, board.artifacts)
    require_objectives(sweep, prepared)
    _copy_earlier_trials(sweep, prepared, journal, say)
    journal.append("sweep", state="running", info={"slots": slots, **expected, **facts(sweep, prepared)})
    controller = controller_of(sweep, prepared)
    if not controller().finished:
        amount = f"at most {several(most, 'trial')}" if most is not None else "trials until the budget is used"
        say(f"searching: {amount}, {slots} at a time")
        pool.grow(slots)
        mark("search begins", sweep.logs)
        configure = partial(tune_config, sweep, prepared)
        search(sweep.folder, controller, configure, counter, pool, sweep.spec.trial.max_failures, stop)
        mark("search is over", sweep.logs)
    return prepared, controller()


def _expected(sweep: Sweep, journal: Journal, slots: int) -> dict[str, dict[str, float]]:
    """The estimate for the journal, before anything is made; empty for a resumed sweep, and if nothing is known."""
    if len(journal.rows) > 1:
        return {}
    stages = estimate(sweep.spec, sweep.root, layout(sweep.spec, sweep.root), slots).stages
    return {"estimate": stages} if stages else {}


def _slots(sweep: Sweep, counter: SlotCounter) -> int:
    """How many trials can run at once on the current cluster."""
    most = trial_count(sweep.spec)
    return counter() if most is None else min(counter(), most)


def _check_warm_start(sweep: Sweep) -> None:
    """Refuse sweeps of other experiments before anything is prepared; digests are known without it."""
    if sweep.spec.searcher.warm_start:
        warm_rows(sweep, layout(sweep.spec, sweep.root))


def _copy_earlier_trials(sweep: Sweep, prepared: Prepared, journal: Journal, say: Say) -> None:
    """Copy the trials of a warm start into the journal, unless the sweep is resumed."""
    names = sweep.spec.searcher.warm_start
    if names and not any(row["kind"] == "trial" for row in journal.rows):
        earlier = warm_rows(sweep, prepared)
        for fields in earlier:
            journal.append("warm", **fields)
        say(f"warm start: {several(len(earlier), 'trial')} of {', '.join(names)}")


def _audit(sweep: Sweep, prepared: Prepared, pool: Pool, journal: Journal, say: Say) -> str | None:
    """Audit the front if the sweep file says so. Returns why that failed, which does not affect the front, or None."""
    from letheon.sweep.audit import AuditFailed, audit_front

    if not sweep.spec.audit:
        return None
    try:
        audit_front(sweep, prepared, journal, pool, say)
    except AuditFailed as error:
        return f"{error}; try again: letheon audit {sweep.name}"
    return None
