"""Assembles a sweep and runs it, or goes on with an interrupted one: the same code, for the journal says what is left.

A resumed sweep is a new Tune experiment over the unfinished trials: the journal holds every decision, each trial's
folder every finished epoch, so nothing depends on Tune's own snapshots. What a trial does, and what is decided about
it, is elsewhere.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.capacity import machine, shortage, slots_that_fit
from letheon.errors import LetheonError
from letheon.front import front_of
from letheon.objectives import Goals
from letheon.preparation import Prepared, trial_config
from letheon.preparers import prepare
from letheon.records import Journal, Row, SweepLock, summary
from letheon.space import sample, stratum, trial_count, trial_name
from letheon.spec import SweepSpec, dump_spec, load_spec, resolved
from letheon.spec_objectives import goals_of

if TYPE_CHECKING:
    from letheon.tracking import Registration, Tracker

Show = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]


class SweepExists(LetheonError):
    """The name is taken."""


class SweepNotFound(LetheonError):
    """There is no sweep of this name under the root."""

    exit_code = 4


class DoesNotFit(LetheonError):
    """Not even one trial fits on the cluster."""


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `state`: finished or interrupted; `registration` is None if interrupted."""

    name: str
    folder: Path
    state: str
    front: Mapping[str, Any]
    registration: Registration | None
    html: Path | None
    seconds: float
    tracking: str


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
    def goals(self) -> Goals:
        return goals_of(self.spec)

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"


def free_name(root: Path, name: str) -> str:
    """`name`, or `name-2`, `name-3`, … if sweeps of that name exist."""
    taken = {path.parent.name for path in (root / "sweeps").glob("*/spec.yaml")}
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def run_sweep(
    spec: SweepSpec, root: Path, name: str | None = None, address: str | None = None, *, show: Show, say: Say
) -> Outcome:
    """Prepare and search. Without a name the sweep is called after its file.

    Raises:
        SweepExists, DoesNotFit, PreparationFailed, TrackingError, LockHeld.
    """
    root = root.resolve()
    if address is None and (problem := shortage([machine()], spec.trial.workers_config)):
        raise DoesNotFit(problem)  # a cluster's nodes are only known once it is joined
    sweep = Sweep(spec, name or free_name(root, spec.name), root)
    with SweepLock(sweep.folder):
        file = sweep.folder / "spec.yaml"
        if file.exists():
            raise SweepExists(f"sweep {sweep.name!r} exists; `letheon resume {sweep.name}`, or choose another --name")
        tracker = _tracker(sweep)
        tracker.check()
        file.write_text(dump_spec(spec))
        return _drive(sweep, tracker, address, show, say)


def resume_sweep(name: str, root: Path, address: str | None = None, *, show: Show, say: Say) -> Outcome:
    """Go on after any crash: finished trials stay, unfinished ones go on from their last epoch.

    Raises:
        SweepNotFound, and what `run_sweep` raises.
    """
    sweep = find_sweep(name, root)
    with SweepLock(sweep.folder):
        tracker = _tracker(sweep)
        tracker.check()
        return _drive(sweep, tracker, address, show, say)


def find_sweep(name: str, root: Path) -> Sweep:
    """Raises SweepNotFound naming the sweeps there are."""
    root = root.resolve()
    file = root / "sweeps" / name / "spec.yaml"
    if not file.exists():
        there = ", ".join(sorted(path.parent.name for path in (root / "sweeps").glob("*/spec.yaml"))) or "none"
        raise SweepNotFound(f"sweep {name!r} is not under {root}; sweeps there: {there}")
    return Sweep(load_spec(file), name, root)


def _tracker(sweep: Sweep) -> Tracker:
    from letheon.tracking import Tracker

    return Tracker(sweep.root, sweep.spec.name, sweep.name, resolved(sweep.spec))


def _drive(sweep: Sweep, tracker: Tracker, address: str | None, show: Show, say: Say) -> Outcome:
    """From whatever the journal says to the end, or to an interruption."""
    from letheon.recorder import Recorder
    from letheon.session import ray_session
    from letheon.tracking import TrackingError

    journal = Journal(sweep.journal)
    journal.append("sweep", state="preparing")
    started = time.monotonic()
    try:
        with (
            ray_session(address, sweep.spec.trial.gpus_per_worker),
            Recorder(journal, tracker, sweep.trials, sweep.goals, show),
        ):
            _prepare_and_search(sweep, journal, say)
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        journal.append("sweep", state="failed", detail=f"{type(error).__name__}: {error}")
        with suppress(TrackingError):  # the first error is the one to show
            tracker.sync(journal.rows)
        raise
    if len(_ended(journal.rows)) < trial_count(sweep.spec):
        journal.append("sweep", state="interrupted", detail="stopped before all trials had ended")
        return _interrupted(sweep, tracker, journal, time.monotonic() - started)
    return _finish(sweep, tracker, journal, time.monotonic() - started)


def _prepare_and_search(sweep: Sweep, journal: Journal, say: Say) -> None:
    from letheon.session import node_resources

    workers = sweep.spec.trial.workers_config
    nodes = node_resources()
    if problem := shortage(nodes, workers):
        raise DoesNotFit(problem)
    slots = slots_that_fit(nodes, workers)
    prepared = prepare(sweep.spec, sweep.root, slots, sweep.folder / "logs", say)
    pending = pending_trials(sweep, prepared, journal.rows)
    slots = min(slots, max(1, len(pending)))
    journal.append("sweep", state="running", info={"slots": slots, "pending": len(pending), **_facts(sweep, prepared)})
    if pending:
        say(f"searching: {len(pending)} trials in {slots} slots")
        _search(sweep, prepared, pending, slots)


def _ended(rows: Sequence[Row]) -> set[str]:
    return {row["trial"] for row in rows if row["kind"] == "end"}


def pending_trials(sweep: Sweep, prepared: Prepared, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Tune configurations of the trials that have not ended, in the order of their numbers."""
    ended = _ended(rows)
    slot = {"storage": str(sweep.folder / "train"), "logs": str(sweep.folder / "logs")}
    configs = []
    for index in range(trial_count(sweep.spec)):
        name = trial_name(index)
        if name not in ended:
            config = trial_config(sweep.spec, prepared, name, sample(sweep.spec, index), sweep.trials / name)
            configs.append({**config.model_dump(mode="json"), "slot": slot})
    return configs


def _baselines(prepared: Prepared, model: str) -> dict[str, dict[str, float]]:
    """Metrics of the `target` (epoch 0 of every trial) or `retain` model by stratum."""
    return {
        stratum(fraction): json.loads(artefact.path.read_text())[model]["metrics"]
        for fraction, artefact in prepared.baseline.items()
    }


def _facts(sweep: Sweep, prepared: Prepared) -> dict[str, Any]:
    """What the records must say of a sweep besides its file: what it ran on, by digest, and its golden standard."""
    workers = sweep.spec.trial
    return {
        "benchmark_digest": prepared.data,
        "target_digest": prepared.target.key,
        "retain_digest": {stratum(fraction): artefact.key for fraction, artefact in prepared.retain.items()},
        "world_size": workers.workers,
        "seeds": list(sweep.spec.seeds),
        "retain": {
            key: {name: metrics[name] for name in ("model_utility", "utility_ratio", "forget_truth_ratio")}
            for key, metrics in _baselines(prepared, "retain").items()
        },
    }


def _search(sweep: Sweep, prepared: Prepared, pending: list[dict[str, Any]], slots: int) -> None:
    from ray import tune

    from letheon.schedulers.adapter import JournalScheduler
    from letheon.schedulers.config import SchedulerConfig
    from letheon.searcher import PendingTrials
    from letheon.slot import Slot

    storage = sweep.folder / "tune"
    shutil.rmtree(storage, ignore_errors=True)
    config = SchedulerConfig.model_validate(sweep.spec.scheduler.model_dump())
    tuner = tune.Tuner(
        tune.with_resources(Slot, {"node:__internal_head__": 0.001}),
        tune_config=tune.TuneConfig(
            search_alg=PendingTrials(pending),
            scheduler=JournalScheduler(config, sweep.journal, _baselines(prepared, "target"), sweep.goals),
            num_samples=len(pending),
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="experiment",
            storage_path=str(storage),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=2),
            failure_config=tune.FailureConfig(max_failures=sweep.spec.trial.max_failures),
        ),
    )
    tuner.fit()


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"])


def _interrupted(sweep: Sweep, tracker: Tracker, journal: Journal, seconds: float) -> Outcome:
    from letheon.tracking import TrackingError

    rows = journal.rows
    with suppress(TrackingError):  # the journal has it all; the next resume replays it
        tracker.sync(rows)
    front = front_of(rows, sweep.name, sweep.goals)
    return Outcome(sweep.name, sweep.folder, "interrupted", front, None, None, seconds, tracker.where)


def _finish(sweep: Sweep, tracker: Tracker, journal: Journal, seconds: float) -> Outcome:
    """The front, its pictures, its registered versions."""
    from letheon.report import write_report

    rows = journal.rows
    front = front_of(rows, sweep.name, sweep.goals)
    files = write_report(sweep.folder, front, rows)
    registration = tracker.finish(front, rows, sweep.trials, files)
    journal.append("sweep", state="finished")
    tracker.sync(journal.rows)
    state = summary(journal.rows, sweep.name)
    return Outcome(
        sweep.name,
        sweep.folder,
        "finished",
        front,
        registration,
        sweep.folder / "front.html",
        state.seconds,
        tracker.where,
    )
