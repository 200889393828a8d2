"""A sweep that was started: watched, read, interrupted, resumed; its checkpoints downloaded."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.analysis.seeds import front_with_means
from letheon.api.driver import Driver, DriverFailed, driver_of, interrupt, start_driver
from letheon.api.frames import epochs_frame, front_frame, trials_frame
from letheon.api.html import run_html
from letheon.api.records import Records
from letheon.checkpoints.select import Bound, checked_verdict
from letheon.common.errors import NotFound
from letheon.common.paths import JOURNAL
from letheon.dashboard.local import LocalSweep
from letheon.dashboard.snapshot import SweepSnapshot
from letheon.journal import LockHeld, SweepState, lock_holder, stratum_of, summary
from letheon.journal.state import ACTIVE
from letheon.monitor.plain_text import head_line
from letheon.monitor.view import LiveFold, LiveView, SpecFacts
from letheon.monitor.watch import LiveSweep, spec_facts
from letheon.pareto.objectives import Goals
from letheon.spec.model import SweepSpec

if TYPE_CHECKING:
    import pandas as pd

    from letheon.api.trial import Checkpoint, Explanation, Trial
    from letheon.plots.figure import FrontFigure

_LOCAL_SECONDS, _STORE_SECONDS = 1.0, 5.0
_STARTING = "the driver is starting"


class Run:
    """A sweep, running or ended, under a root or in a tracking store. Every method reads its newest state.

    Comes from `Sweep.start` or `letheon.open`. Shows itself in a notebook, where `wait` keeps it up to date.

    Attributes:
        name: of the sweep.
        root: the folder that its records default to.
        folder: the sweep's folder; None if only the tracking store has it.

    Every method that reads raises JournalError if the journal is damaged, and TrackingError if the store does not
    answer.
    """

    def __init__(
        self,
        records: Records,
        root: Path,
        *,
        folder: Path | None = None,
        spec: SweepSpec | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        """Not for users. `spec`: as it was started, until the driver has written its own."""
        self._records, self._given, self._uri = records, spec, tracking_uri
        self._live: tuple[SpecFacts, LiveSweep] | None = None
        self.root, self.folder = root, folder
        self.name = self.snapshot().name

    @classmethod
    def at(cls, folder: Path, spec: SweepSpec | None = None) -> Run:
        """The sweep in this folder of a root."""
        return cls(LocalSweep(folder), folder.parent.parent, folder=folder, spec=spec)

    # ---- how it goes

    def snapshot(self) -> SweepSnapshot:
        """Everything that is recorded now: the journal's rows, the sweep file, the state."""
        found = self._records.snapshot()
        state = self._corrected(SweepState(found.name, found.state, found.detail, (), found.seconds))
        return replace(found, spec=found.spec or self._given, state=state.state, detail=state.detail)

    def _corrected(self, state: SweepState) -> SweepState:
        """A driver that was started here takes seconds until it has a journal."""
        starting = self.folder is not None and self._driver_runs and not (self.folder / JOURNAL).exists()
        return replace(state, state="preparing", detail=_STARTING) if starting else state

    @property
    def _driver(self) -> Driver | None:
        """The last one that this process started."""
        return None if self.folder is None else driver_of(self.folder)

    @property
    def _driver_runs(self) -> bool:
        return self._driver is not None and self._driver.running

    @property
    def state(self) -> str:
        """`preparing`, `running`, `interrupted`, `finished` or `failed`."""
        return self.snapshot().state

    @property
    def detail(self) -> str | None:
        """Why it is in this state: what ended the search, interrupted it or failed."""
        return self.snapshot().detail

    @property
    def spec(self) -> SweepSpec | None:
        """The sweep file, defaults included; None if this version cannot read it."""
        return self.snapshot().spec

    def wait(self, timeout: float | None = None, progress: bool = True) -> None:
        """Wait for the end of the sweep and show its progress: in place in a notebook and on a terminal.

        Interrupting this call (Ctrl-C, or a notebook's stop button) interrupts a sweep that this process started, and
        waits until it has stopped: what it has measured is kept, and `resume` continues. A second interrupt ends it at
        once. A sweep that was only opened goes on.

        Args:
            timeout: seconds; the sweep goes on when they are over.
            progress: whether to show anything.

        Raises:
            DriverFailed: a driver that this process started ended with an error; with its last lines.
            TimeoutError: the timeout is over.
        """
        from letheon.api.watch import shown

        end = None if timeout is None else time.monotonic() + timeout
        with shown(self) if progress else nullcontext(lambda snapshot: None) as show:
            try:
                while not self._ended():
                    if end is not None and time.monotonic() > end:
                        raise TimeoutError(f"sweep {self.name!r} has not ended after {timeout:g} s; it goes on")
                    show(self.snapshot())
                    time.sleep(_STORE_SECONDS if self.folder is None else _LOCAL_SECONDS)
            except KeyboardInterrupt:
                self._stop_what_was_started()
                raise
            finally:
                show(self.snapshot())
        self._raise_problem()

    def _ended(self) -> bool:
        return not self._driver_runs and self.snapshot().state not in ACTIVE

    def _stop_what_was_started(self) -> None:
        driver = self._driver
        if driver is None or not driver.running:
            return
        try:
            self.interrupt()
        except KeyboardInterrupt:
            driver.process.terminate()  # its second signal: it kills its processes and ends
            driver.process.wait()
            raise

    def _raise_problem(self) -> None:
        driver = self._driver
        problem = None if driver is None else driver.problem()
        if driver is None or problem is None:
            return
        if self.state != "finished":
            raise DriverFailed(f"sweep {self.name!r}: {problem}\nall that its driver said: {driver.log}")
        if not self.front().empty:  # an empty one speaks for itself, though the command calls it a failure
            warnings.warn(problem, stacklevel=3)  # of the audit

    def interrupt(self) -> bool:
        """Interrupt the sweep as Ctrl-C does, and wait until it has stopped; `resume` continues it.

        Returns whether it was running. Raises DriverFailed if it runs on another host, or does not stop.
        """
        return False if self.folder is None else interrupt(self.folder)

    def resume(self, address: str | None = None) -> None:
        """Continue after an interrupt or a crash, in a process of its own as `Sweep.start` does. Finished epochs are
        not run again.

        `address`: of the Ray cluster. Raises NotFound if the sweep is not of this root, and LockHeld if it runs.
        """
        if self.folder is None:
            raise NotFound(f"sweep {self.name!r} is not under {self.root}, where resuming needs it; give its root")
        if self._driver_runs or lock_holder(self.folder) is not None:
            raise LockHeld(self.folder / "lock", lock_holder(self.folder))
        to = [] if address is None else ["--address", address]
        start_driver(self.folder, ["resume", self.name, "--root", str(self.root), *to])

    # ---- what it found

    def front(self, fraction: float | None = None) -> pd.DataFrame:
        """The best checkpoints so far: of one fraction, no other has both more forgetting and more utility.

        One row per checkpoint, indexed by its name (`t003@14`: trial and epoch). Columns: `fraction`, `trial`, `epoch`,
        `knee` (the best compromise of its fraction), `verdict`, the hyper-parameters, the metrics, objectives first,
        and the `reasons` of the verdict. docs/metrics.md has the metrics and their units. Empty if no
        checkpoint is fit for use.

        Raises NotFound for a forget fraction that the sweep does not have.
        """
        return front_frame(self.front_table(fraction))

    def front_table(self, fraction: float | None = None) -> dict[str, Any]:
        """What `letheon front --json` prints: also hypervolumes, the box of the axes, and means over seeds."""
        snapshot = self.snapshot()
        seeds = 1 if snapshot.spec is None else len(snapshot.spec.seeds)
        return only_fraction(front_with_means(snapshot.rows, seeds, snapshot.name, snapshot.goals), fraction)

    def plot_front(self, fraction: float | None = None, theme: str = "light") -> FrontFigure:
        """The front over all checkpoints, as a matplotlib figure; one panel per forget fraction.

        `theme`: light or dark. Raises NotFound as `front` does.
        """
        from letheon.plots.front import front_figure

        return front_figure(self.front_table(fraction), self.snapshot().rows, "dark" if theme == "dark" else "light")

    def trials(self) -> pd.DataFrame:
        """One row per trial, indexed by name: `fraction`, `outcome` (completed, pruned, collapsed, failed, stopped;
        running or interrupted while it has not ended), `epochs` (the last one), `best` (the epoch of its best
        checkpoint, if one is fit for use), `verdict`, hyper-parameters, the metrics of the best checkpoint, else of the
        last epoch, the `reason` of the outcome, and its `origin` (who chose the configuration).
        """
        snapshot = self.snapshot()
        return trials_frame(snapshot.rows, snapshot.goals, snapshot.state in ACTIVE)

    def epochs(self, trial: str | None = None) -> pd.DataFrame:
        """Every evaluated epoch, indexed by (trial, epoch): `fraction`, `verdict`, `decision` (continue or stop),
        all metrics, and the `reasons` of the verdict. Epoch 0 is the untouched target model. `trial`: only this one.
        """
        snapshot = self.snapshot()
        return epochs_frame(snapshot.rows, snapshot.goals, trial)

    def trial(self, name: str) -> Trial:
        """One trial, such as `t003`. Raises UnknownTrial."""
        from letheon.api.trial import Trial

        return Trial(self._records, self.snapshot(), name)

    def explain(self, trial: str) -> Explanation:
        """Why a trial continued or was stopped, rung by rung. Raises UnknownTrial."""
        return self.trial(trial).explain()

    def samples(self, trial: str) -> pd.DataFrame:
        """Texts that a trial's models generated; see `Trial.samples`. Raises UnknownTrial."""
        return self.trial(trial).samples()

    def report(self, file: str | os.PathLike[str]) -> Path:
        """Write all pages of the sweep as one HTML file that needs nothing else. Returns its path."""
        from letheon.dashboard.html_report import write_report

        snapshot, path = self.snapshot(), Path(file)
        write_report(path, snapshot, lambda trial: self._records.generations(snapshot, trial))
        return path

    def pull(
        self,
        choice: str = "knee",
        *,
        to: str | os.PathLike[str],
        fraction: float | None = None,
        min_utility: float | None = None,
        at_most: Mapping[str, float] | None = None,
        at_least: Mapping[str, float] | None = None,
        require: str | None = None,
    ) -> Checkpoint:
        """Download a front checkpoint from the tracking store, verify it, and move it to the new folder `to`.

        Warns if the checkpoint has not forgotten. An interrupted download continues with the same call.

        Args:
            choice: knee, max-utility, max-forget, TRIAL@EPOCH, or an alias such as knee-05.
            to: the folder to create.
            fraction: the forget fraction; needed if the sweep has several.
            min_utility: the lowest share of the target model's utility, 0 to 1.
            at_most, at_least: limits on metrics, such as `{"forget_rouge": 0.4}`.
            require: the verdict that it must have, such as `forgotten`.

        Raises:
            SelectionError: no checkpoint, or several, are as asked for; or `to` exists. SweepNotFoundError: the sweep
                has not finished, so nothing is registered. VerificationError: the store's files are not those that the
                sweep registered. TrackingError, DiskSpaceError.
        """
        from letheon.api.trial import Checkpoint
        from letheon.tracking.reader.pull import Request, pull

        bounds = [Bound(metric, "max", value) for metric, value in (at_most or {}).items()]
        bounds += [Bound(metric, "min", value) for metric, value in (at_least or {}).items()]
        request = Request(choice, fraction, min_utility, tuple(bounds), checked_verdict(require))
        pulled = pull(self.name, Path(to), self.root, request, self._uri, self.snapshot().study)
        if pulled.doubt is not None:
            warnings.warn(pulled.doubt, stacklevel=2)
        return Checkpoint(**vars(pulled))

    # ---- how it looks

    def _view(self) -> LiveView:
        snapshot = self.snapshot()
        facts = _facts(snapshot.spec, snapshot.goals)
        if self.folder is None:
            fold = LiveFold(facts)
            for row in snapshot.rows:
                fold.take(row)
            state = replace(summary(snapshot.rows, self.name), state=snapshot.state, detail=snapshot.detail)
            return fold.view(state)
        if self._live is None or self._live[0] != facts:
            self._live = facts, LiveSweep(self.folder, facts)
        view = self._live[1].look()
        return replace(view, state=self._corrected(view.state))

    def __repr__(self) -> str:
        return f"Run({head_line(self._view())})"

    def _repr_html_(self) -> str:
        return run_html(self._view())


def _facts(spec: SweepSpec | None, goals: Goals) -> SpecFacts:
    """What a view needs of the sweep file; little before the driver has computed a share of a GPU."""
    if spec is None or isinstance(spec.trial.gpus_per_worker, str):
        return SpecFacts(goals)
    return spec_facts(spec)


def only_fraction(front: dict[str, Any], fraction: float | None) -> dict[str, Any]:
    """The front of one fraction, or all if None. Raises NotFound for one that is not there."""
    if fraction is None:
        return front
    key = stratum_of(fraction)
    if key not in front["strata"]:
        known = ", ".join(front["strata"]) or "none yet"
        raise NotFound(f"fraction {fraction:g}: not in sweep {front['sweep']!r}; its fractions: {known}")
    means = front["means"] and {**front["means"], "strata": _only(front["means"]["strata"], key)}
    return {**front, "strata": _only(front["strata"], key), "means": means}


def _only(strata: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: strata[key]} if key in strata else {}
