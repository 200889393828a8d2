"""The mind of a sweep: which trial is next, whether a running one goes on, and when it is over.

Its whole state is a fold over the ledger's rows, and every answer is written there before it is given: a conductor that
is killed and opened again on the same rows goes on as if nothing had been. The same object conducts a real sweep (its
ledger is the journal, Ray Tune asks) and a simulated one. Knows no Ray, no models and no wall clock but the ledger's.
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
from letheon.searchers.history import History
from letheon.searchers.registry import searcher_of
from letheon.spec.budget import reached
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import goals_of
from letheon.spec.search_space import Space, trial_name

REASON_CHARACTERS = 500

Metrics = Mapping[str, float]


class Ledger(Protocol):
    """Where rows are kept: a `Journal`, or a list in memory."""

    @property
    def rows(self) -> Sequence[Row]: ...

    def now(self) -> float: ...

    def append(self, kind: str, **fields: object) -> Row: ...


class SweepController:
    """`baselines`: the untouched target model's metrics by stratum."""

    def __init__(self, spec: SweepSpec, ledger: Ledger, baselines: Mapping[str, Metrics] | None = None) -> None:
        self.spec, self._ledger = spec, ledger
        self._baselines = dict(baselines or {})
        goals = goals_of(spec).search_goals
        self._space, self._searcher = Space(spec), searcher_of(spec)
        self._scheduler = SweepScheduler(spec.scheduler, goals)
        self._gpus = spec.trial.workers * spec.trial.gpus
        self.history = History(goals, self._baselines)
        self._sweep = self.history.sweep
        self._given: set[str] = set()
        self.over: str | None = None
        """Why no further trial is started; None while there are some to come."""
        self._replay()

    # -- what is next

    def next_trial(self) -> Row | None:
        """The row of the trial to run next: one that was left open first, else a new one. None when the search is over.

        A row's `config` has the hyper-parameters that the trial has, its `origin` says who chose them.
        """
        waiting = next((trial.row for name, trial in self._sweep.open.items() if name not in self._given), None)
        row = waiting or self._propose()
        if row is not None:
            self._given.add(row["trial"])
        return row

    def take_up(self, trials: Collection[str]) -> None:
        """These trials are running already, though this conductor was opened after they began."""
        self._given |= set(trials)

    @property
    def finished(self) -> bool:
        """Whether nothing is open and nothing is to come."""
        return not self._sweep.open and self.ending is not None

    @property
    def ending(self) -> str | None:
        """Why no further trial will be started, in words; None while one will."""
        return self.over or self._ending()

    def spent(self) -> Spent:
        """What the sweep has cost until now."""
        return spent(self._sweep, self._gpus, self._ledger.now())

    def _ending(self) -> str | None:
        limit = reached(self.spec.budget, self.spent())
        if limit is None and self._seed == 0 and self._searcher.propose(self._number, self.history) is None:
            return f"all {several(len(self.history.trials), 'trial')} of the search space were started"
        return limit

    @property
    def _number(self) -> int:
        return len(self.history.trials) // len(self.spec.seeds)

    @property
    def _seed(self) -> int:
        """Which of the seeds is next; trials of one configuration follow each other."""
        return len(self.history.trials) % len(self.spec.seeds)

    def _propose(self) -> Row | None:
        self.over = reached(self.spec.budget, self.spent())
        if self.over is not None:
            return None
        index, seed = len(self.history.trials), self.spec.seeds[self._seed]
        if self._seed:
            brother = self._sweep.trials[trial_name(index - 1)].row
            return self._introduce(index, {**brother["config"], "seed": seed}, brother["origin"])
        proposal = self._searcher.propose(self._number, self.history)
        if proposal is None:
            self.over = f"all {several(index, 'trial')} of the search space were started"
            return None
        chosen = self._space.hyperparameters(proposal.values, seed).model_dump(mode="json")
        own = {name: value for name, value in chosen.items() if value is not None}
        return self._introduce(index, own, proposal.origin)

    def _introduce(self, index: int, config: Mapping[str, Any], origin: str) -> Row:
        stratum = stratum_of(config["forget_fraction"])
        baseline = self._baselines.get(stratum, {})
        name = trial_name(index)
        return self._write("trial", trial=name, stratum=stratum, config=config, baseline=baseline, origin=origin)

    # -- what becomes of it

    def report(self, trial: str, epoch: int, metrics: Metrics) -> Decision:
        """The decision on a trial's epoch (1, 2, …), the recorded one where it was decided before.

        A trial goes on only while the budget lasts: what is used up stops every trial at its next report.
        """
        end = self._sweep.trials[trial].end
        if end is not None:
            return Decision("stop", epoch, f"the trial has ended already: {end['reason']}", outcome=end["outcome"])
        decision = self._scheduler.decide(trial, self._sweep.trials[trial].stratum, epoch, metrics)
        if self._scheduler.decided(trial, epoch):
            return decision
        if decision.action == "continue" and (limit := self._limit(trial)) is not None:
            decision = replace(decision, action="stop", reason=limit, outcome="stopped")
        self._write("report", trial=trial, epoch=epoch, metrics=metrics, decision=decision.to_json())
        if decision.action == "stop":
            self._end(trial, decision)
        return decision

    def fail(self, trial: str, reason: str) -> None:
        """The trial's worker or its slot has failed it for good."""
        if not self.ended(trial):
            text = reason.strip()[:REASON_CHARACTERS] or "no reason given"
            self._write("end", trial=trial, outcome="failed", reason=text, epoch=self._sweep.trials[trial].last_epoch)

    def ended(self, trial: str) -> bool:
        return trial in self._sweep.trials and self._sweep.trials[trial].end is not None

    def describe(self) -> str:
        """A line for logs."""
        rule = self.spec.scheduler
        return f"{rule.name}, rungs {rule.rungs}, {several(len(self._sweep.ended), 'trial')} ended"

    def _limit(self, trial: str) -> str | None:
        """The limit that this trial's report of now uses up, but for the number of trials: those may finish."""
        budget = self.spec.budget.model_copy(update={"trials": None})
        used = spent(self._sweep, self._gpus, self._ledger.now(), reporting=trial)
        return reached(budget, used) if budget.limits else None

    def _end(self, trial: str, decision: Decision) -> None:
        outcome = decision.outcome or "pruned"
        self._write("end", trial=trial, outcome=outcome, reason=decision.reason, epoch=decision.epoch)

    # -- the fold

    def _write(self, kind: str, **fields: object) -> Row:
        row = self._ledger.append(kind, **fields)
        self._take(row)
        return row

    def _take(self, row: Row) -> None:
        self.history.take(row)
        self._scheduler.take(row)

    def _replay(self) -> None:
        undecided: dict[str, Decision] = {}
        for row in list(self._ledger.rows):
            self._take(row)
            if row["kind"] == "report" and row["decision"]["action"] == "stop":
                undecided[row["trial"]] = Decision.from_json(row["decision"])
        for trial, decision in undecided.items():  # the driver may have died between a last decision and its end row
            if not self.ended(trial):
                self._end(trial, decision)


class SharedController:
    """The conductor of a journal, opened on first use: Tune's scheduler and Tune's searcher ask the same one.

    Pickled, it is what it was made of; a copy within the process is the same object.
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
