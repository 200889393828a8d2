"""Decides which trial runs next, whether a running one continues, and when the sweep ends.

The state is a fold over the journal's rows, and every answer is written there before it is given: a controller that is
killed and reopened on the same rows continues as if uninterrupted. The same class controls real sweeps (Ray Tune asks
it) and simulated ones. Independent of Ray, of models, and of any clock but the journal's.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from letheon.common.counting import several
from letheon.journal import Journal, Row, stratum_of
from letheon.journal.usage import Spent, spent
from letheon.schedulers.decision import Decision
from letheon.schedulers.scheduler import SweepScheduler
from letheon.searchers.base import Forecaster
from letheon.searchers.expectation import AHEAD, still_expected
from letheon.searchers.history import History
from letheon.searchers.registry import searcher_of
from letheon.spec.budget import reached
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import SearchSpace, trial_name

REASON_CHARACTERS = 500

Metrics = Mapping[str, float]


class JournalLike(Protocol):
    """A `Journal` on disk or a `MemoryJournal`."""

    @property
    def rows(self) -> Sequence[Row]: ...

    def now(self) -> float: ...

    def append(self, kind: str, **fields: object) -> Row: ...


class SweepController:
    """`baselines`: the untouched target model's metrics by stratum. `space`: if not all that the sweep file allows."""

    def __init__(
        self,
        spec: SweepSpec,
        journal: JournalLike,
        baselines: Mapping[str, Metrics] | None = None,
        space: SearchSpace | None = None,
    ) -> None:
        self.spec, self._journal = spec, journal
        self._baselines = dict(baselines or {})
        goals = goals_of(spec).search_goals
        self._space = space or SearchSpace(spec)
        self._searcher = searcher_of(spec, self._space)
        self._scheduler = SweepScheduler(spec.scheduler, goals)
        self._gpus = spec.trial.workers * spec.trial.gpus
        self.history = History(goals, self._baselines)
        self._sweep = self.history.sweep
        self._running: set[str] = set()
        self._end_reason: str | None = None
        self._plateau: str | None = None
        self._replay()

    # -- what is next

    def next_trial(self) -> Row | None:
        """The row of the trial to run next: an interrupted one first, else a new one. None if the search is over.

        The row's `config` has the trial's hyper-parameters, its `origin` says how they were chosen.
        """
        interrupted = next((trial.row for name, trial in self._sweep.open.items() if name not in self._running), None)
        row = interrupted or self._propose()
        if row is not None:
            self._running.add(row["trial"])
        return row

    def mark_running(self, trials: Collection[str]) -> None:
        """Declare trials that were started before this controller was opened and still run."""
        self._running |= set(trials)

    @property
    def finished(self) -> bool:
        """Whether all trials have ended and no further one will be started."""
        return not self._sweep.open and self.end_reason is not None

    @property
    def end_reason(self) -> str | None:
        """Why no further trial will be started; None if one will."""
        if self._end_reason is None and isinstance(found := self._next(), str):
            return found
        return self._end_reason

    def spent(self) -> Spent:
        """The cost of the sweep until now."""
        return spent(self._sweep, self._gpus, self._journal.now())

    def _next(self) -> tuple[Mapping[str, Any], str] | str:
        """The next configuration and its origin, or the reason why no trial follows.

        Trials of one configuration with different seeds follow each other.
        """
        limit = reached(self.spec.budget, self.spent()) or self._plateau
        if limit is not None:
            return limit
        index = len(self.history.trials)
        number, position = divmod(index, len(self.spec.seeds))
        seed = self.spec.seeds[position]
        if position:
            previous = self._sweep.trials[trial_name(index - 1)].row
            return {**previous["config"], "seed": seed}, previous["origin"]
        proposal = self._searcher.propose(number, self.history)
        if proposal is None:
            return f"all {several(index, 'trial')} of the search space were started"
        chosen = self._space.hyperparameters(proposal.values, seed).model_dump(mode="json")
        return {name: value for name, value in chosen.items() if value is not None}, proposal.origin

    def _propose(self) -> Row | None:
        found = self._next()
        self._end_reason = found if isinstance(found, str) else None
        if isinstance(found, str):
            return None
        config, origin = found
        stratum = stratum_of(config["forget_fraction"])
        baseline = self._baselines.get(stratum, {})
        name = trial_name(len(self.history.trials))
        return self._write("trial", trial=name, stratum=stratum, config=config, baseline=baseline, origin=origin)

    # -- reports and ends

    def report(self, trial: str, epoch: int, metrics: Metrics, fast_paths: str | None = None) -> Decision:
        """The decision on a trial's epoch (1, 2, …); the recorded one if it was decided before.

        A limit of the budget that is used up, except for the number of trials, stops every trial at its next report.
        `fast_paths`: which of them the worker used, for the journal only.
        """
        end = self._sweep.trials[trial].end
        if end is not None:
            return Decision("stop", epoch, f"the trial has ended already: {end['reason']}", outcome=end["outcome"])
        decision = self._scheduler.decide(trial, self._sweep.trials[trial].stratum, epoch, metrics)
        if self._scheduler.decided(trial, epoch):
            return decision
        if decision.action == "continue" and (limit := self._limit(trial)) is not None:
            decision = replace(decision, action="stop", reason=limit, outcome="stopped")
        facts = {"fast_paths": fast_paths} if fast_paths else {}
        self._write("report", trial=trial, epoch=epoch, metrics=metrics, decision=decision.to_json(), **facts)
        if decision.action == "stop":
            self._end(trial, decision)
        return decision

    def fail(self, trial: str, reason: str) -> None:
        """End a trial that has failed and will not be restarted."""
        if not self.ended(trial):
            text = reason.strip()[:REASON_CHARACTERS] or "no reason given"
            self._write("end", trial=trial, outcome="failed", reason=text, epoch=self._sweep.trials[trial].last_epoch)

    def ended(self, trial: str) -> bool:
        """Whether the trial is known and has ended."""
        return trial in self._sweep.trials and self._sweep.trials[trial].end is not None

    def describe(self) -> str:
        """One line for logs."""
        rule = self.spec.scheduler
        return f"{rule.name}, rungs {rule.rungs}, {several(len(self._sweep.ended), 'trial')} ended"

    def _limit(self, trial: str) -> str | None:
        """The limit that is used up with this report; not the number of trials, since started ones may finish."""
        budget = self.spec.budget.model_copy(update={"trials": None})
        used = spent(self._sweep, self._gpus, self._journal.now(), reporting=trial)
        return reached(budget, used) if budget.limits else None

    def _end(self, trial: str, decision: Decision) -> None:
        outcome = decision.outcome or "pruned"
        self._write("end", trial=trial, outcome=outcome, reason=decision.reason, epoch=decision.epoch)

    # -- the journal

    def _write(self, kind: str, **fields: object) -> Row:
        row = self._journal.append(kind, **fields)
        self._take(row)
        return row

    def _take(self, row: Row) -> None:
        self.history.take(row)
        self._scheduler.take(row)
        if row["kind"] == "end" and self.spec.budget.plateau is not None and self._plateau is None:
            self._plateau = self._plateau_reached(self.spec.budget.plateau)

    def _plateau_reached(self, least: float) -> str | None:
        """Why no more trials are worth their cost; None while some fraction is expected to gain its share.

        Tested at each end of a trial, and final: results of trials that still run then do not start the search again,
        neither now nor after a restart. The model, which costs a fit, is asked only if the growth has slowed down.
        """
        grown = still_expected(self.history, map(stratum_of, self.spec.fractions))
        if any(share is None or share >= least for share in grown.values()):
            return None
        found = {key: share or 0.0 for key, share in grown.items()}
        if isinstance(self._searcher, Forecaster):
            found = {key: max(share, found[key]) for key, share in self._searcher.forecast(self.history, AHEAD).items()}
        most = max(found.values())
        if most >= least:
            return None
        ahead = f"the next {AHEAD} trials of any fraction are expected to add at most {most:.2%} to its hypervolume"
        return f"budget.plateau: {ahead}, less than {least:.2%}"

    def _replay(self) -> None:
        undecided: dict[str, Decision] = {}
        for row in list(self._journal.rows):
            self._take(row)
            if row["kind"] == "report" and row["decision"]["action"] == "stop":
                undecided[row["trial"]] = Decision.from_json(row["decision"])
        for trial, decision in undecided.items():  # the driver died between a last decision and its end row
            if not self.ended(trial):
                self._end(trial, decision)


class SharedController:
    """Opens the controller of a journal on first call, for Tune's scheduler and Tune's searcher to share.

    A pickled copy opens its own; `copy.deepcopy` within the process returns the same object.
    """

    def __init__(self, spec: SweepSpec, path: str | os.PathLike[str], baselines: Mapping[str, Metrics]) -> None:
        self._spec, self._path, self._baselines = spec, Path(path).absolute(), dict(baselines)
        self._live: SweepController | None = None

    def __call__(self) -> SweepController:
        if self._live is None:
            self._live = SweepController(self._spec, Journal(self._path), self._baselines)
        return self._live

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None}

    def __deepcopy__(self, memo: object) -> SharedController:
        return self
