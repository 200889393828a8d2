"""Assembles a sweep and runs it, or goes on with an interrupted one: the same code, for the journal says what is left.

A resumed sweep is a new Tune experiment over the unfinished trials: the journal holds every decision, each trial's
folder every finished epoch, so nothing depends on Tune's own snapshots. What a trial does, and what is decided about
it, is elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.already import finished_already
from letheon.atomic import write_atomically
from letheon.capacity import DoesNotFit, machine, shortage
from letheon.counting import several
from letheon.disk import disk_of
from letheon.ending import Outcome, finish, interrupted
from letheon.errors import LetheonError
from letheon.leisure import at_leisure
from letheon.objectives import Goals
from letheon.paths import JOURNAL, SPEC
from letheon.preparation import layout
from letheon.preparers import prepare
from letheon.records import Journal, Row, SweepLock
from letheon.room import Room
from letheon.search import conductor_of, digests, facts, require_objectives, search
from letheon.sizing import sized
from letheon.space import trial_count
from letheon.spec import SweepSpec, dump_spec, load_spec, resolved
from letheon.spec_objectives import goals_of
from letheon.unchanged import begun_with, recorded, require_same_ground, require_same_spec
from trainables.preload import collector_still
from trainables.timeline import mark

if TYPE_CHECKING:
    from letheon.conductor import Conductor
    from letheon.pool import Pool
    from letheon.preparation import Prepared
    from letheon.tracking import Tracker

Show = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]

EXPORT_SECONDS, LATEST_EXPORT_SECONDS = 1.0, 10.0
"""How often gauges are set anew: looking at all trials takes longer the more there are, and Ray passes them on every
ten seconds."""


class SweepExists(LetheonError):
    """The name is taken."""


class SweepNotFound(LetheonError):
    """There is no sweep of this name under the root."""

    exit_code = 4


@dataclass(frozen=True)
class Sweep:
    """A sweep's place: its folder below the root, and what was asked for."""

    spec: SweepSpec
    name: str
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "sweeps" / self.name

    @property
    def trials(self) -> Path:
        return self.folder / "trials"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def goals(self) -> Goals:
        return goals_of(self.spec)

    @property
    def journal(self) -> Path:
        return self.folder / JOURNAL


def free_name(root: Path, name: str) -> str:
    """`name`, or `name-2`, `name-3`, … if sweeps of that name exist."""
    taken = {path.parent.name for path in (root / "sweeps").glob(f"*/{SPEC}")}
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def run_sweep(
    spec: SweepSpec, root: Path, name: str | None = None, address: str | None = None, *, show: Show, say: Say
) -> Outcome:
    """Prepare and search. Without a name the sweep is called after its file.

    Raises:
        SweepExists, DoesNotFit, PreparationFailed, TrackingError, LockHeld, and what `sizing.sized` raises.
    """
    root, spec = root.resolve(), sized(spec, address, say)
    if address is None and (problem := shortage([machine()], spec.trial.workers_config)):
        raise DoesNotFit(problem)  # a cluster's nodes are only known once it is joined
    sweep = Sweep(spec, name or free_name(root, spec.name), root)
    with disk_of(sweep.folder, sweep.name, sweep.root), SweepLock(sweep.folder):
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
    with disk_of(sweep.folder, sweep.name, sweep.root), SweepLock(sweep.folder):
        require_same_spec(Journal.read(sweep.journal), resolved(sweep.spec), name)
        if (outcome := finished_already(sweep)) is not None:
            return outcome
        tracker = tracker_of(sweep)
        tracker.begin_check()
        return _drive(sweep, tracker, address, show, say)


def find_sweep(name: str, root: Path) -> Sweep:
    """Raises SweepNotFound naming the sweeps there are."""
    root = root.resolve()
    files = {path.parent.name: path for path in (root / "sweeps").glob(f"*/{SPEC}")}
    if name not in files:  # nor is a name a path: `..` leads nowhere
        raise SweepNotFound(f"sweep {name!r} is not under {root}; sweeps there: {', '.join(sorted(files)) or 'none'}")
    return Sweep(load_spec(files[name]), name, root)


def tracker_of(sweep: Sweep) -> Tracker:
    """Where the sweep is recorded."""
    from letheon.tracking import Beside, SystemMetrics, Tracker

    beside = Beside(sweep.folder, sweep.goals, SystemMetrics())
    return Tracker(sweep.root, sweep.spec.name, sweep.name, resolved(sweep.spec), beside=beside)


def _drive(sweep: Sweep, tracker: Tracker, address: str | None, show: Show, say: Say) -> Outcome:
    """From whatever the journal says to the end, or to an interruption."""
    from letheon.live.exporter import exporter_of
    from letheon.mirror import Mirror, Throttle
    from letheon.pool import pool_of
    from letheon.recorder import Recorder
    from letheon.session import ray_session

    journal, mirror = Journal(sweep.journal), Mirror(tracker, sweep.folder)
    spec = {} if begun_with(journal.rows) else {"spec": recorded(resolved(sweep.spec))}
    journal.append("sweep", state="preparing", **spec)
    exporter, exports = exporter_of(sweep.folder, sweep.spec), Throttle(EXPORT_SECONDS, LATEST_EXPORT_SECONDS)

    def show_and_export(rows: Sequence[Row]) -> None:
        show(rows)
        if exports.due:
            began = time.perf_counter()
            exporter.export()
            exports.took(time.perf_counter() - began)

    started = time.monotonic()
    problem: str | None = None
    searched: Conductor | None = None
    try:
        with ray_session(address, sweep.spec.trial.gpus):
            mark("Ray is up", sweep.logs)
            room = Room(sweep.spec.trial.workers_config, joined=address is not None)
            with pool_of(sweep.spec, room(), sweep.folder, room.joined) as pool:
                if not any(row["kind"] == "trial" for row in journal.rows):
                    pool.grow(_slots(sweep, room))  # a sweep that goes on may have nothing to do; this one has
                with collector_still():
                    at_leisure(tracker.finish_check)  # while the workers start
                mark("records are open", sweep.logs)
                with Recorder(journal, mirror, sweep.trials, sweep.goals, show_and_export):
                    prepared, searched = _prepare_and_search(sweep, room, pool, journal, say)
                    problem = _audit(sweep, prepared, pool, journal, say) if searched.finished else None
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        with suppress(OSError):  # the full disk that it failed of
            journal.append("sweep", state="failed", detail=f"{type(error).__name__}: {error}")
            mirror.complete(journal.rows)
        raise
    mark("Ray is gone", sweep.logs)
    seconds = time.monotonic() - started
    left = None if problem else _left(sweep, searched, journal.rows)
    if left is not None:
        journal.append("sweep", state="interrupted", detail=f"stopped before all {left}")
        return interrupted(sweep, mirror, journal, seconds)
    return finish(sweep, mirror, journal, problem, searched.ending if searched else None)


def _prepare_and_search(sweep: Sweep, room: Room, pool: Pool, journal: Journal, say: Say) -> tuple[Prepared, Conductor]:
    """What was prepared, and the conductor, which knows how far the search came."""
    most, slots = trial_count(sweep.spec), _slots(sweep, room)
    require_same_ground(journal.rows, lambda: digests(layout(sweep.spec, sweep.root)), sweep.name)
    prepared = prepare(sweep.spec, sweep.root, pool, say)
    require_objectives(sweep, prepared)
    _warm_up(sweep, prepared, journal, say)
    journal.append("sweep", state="running", info={"slots": slots, **facts(sweep, prepared)})
    conductor = conductor_of(sweep, prepared)
    if not conductor().finished:
        amount = f"at most {several(most, 'trial')}" if most is not None else "trials until the budget is used"
        say(f"searching: {amount}, {slots} at a time")
        pool.grow(slots)
        mark("search begins", sweep.logs)
        search(sweep, prepared, conductor, room, pool)
        mark("search is over", sweep.logs)
    return prepared, conductor()


def _slots(sweep: Sweep, room: Room) -> int:
    """How many trials run at once, as the cluster is now."""
    most = trial_count(sweep.spec)
    return room() if most is None else min(room(), most)


def _check_warm_start(sweep: Sweep) -> None:
    """Refuse other experiments before anything is prepared: digests are known by then."""
    if sweep.spec.searcher.warm_start:
        from letheon.warm_start import warm_rows

        warm_rows(sweep, layout(sweep.spec, sweep.root))


def _warm_up(sweep: Sweep, prepared: Prepared, journal: Journal, say: Say) -> None:
    """Copy earlier trials into the journal, once: a resumed sweep has them."""
    from letheon.warm_start import warm_rows

    names = sweep.spec.searcher.warm_start
    if names and not any(row["kind"] == "trial" for row in journal.rows):
        earlier = warm_rows(sweep, prepared)
        for fields in earlier:
            journal.append("warm", **fields)
        say(f"warm start: {several(len(earlier), 'trial')} of {', '.join(names)}")


def _audit(sweep: Sweep, prepared: Prepared, pool: Pool, journal: Journal, say: Say) -> str | None:
    """Attack the front if the sweep is to end so. An audit that fails does not take the front away: why it did."""
    from letheon.audit import AuditFailed, audit_front

    if not sweep.spec.audit:
        return None
    try:
        audit_front(sweep, prepared, journal, pool, say)
    except AuditFailed as error:
        return f"{error}; try again: letheon audit {sweep.name}"
    return None


def _left(sweep: Sweep, searched: Conductor | None, rows: Sequence[Row]) -> str | None:
    """What an interrupted sweep has still to do, or None."""
    from letheon.audit import is_audited

    if searched is None or not searched.finished:
        return "trials had ended"
    return "checkpoints were audited" if sweep.spec.audit and not is_audited(sweep, rows) else None
