"""Why a trial, or one of its checkpoints, is not on the front: the facts, from the journal. Pure.

It judges by the front's own rows and goals, so it cannot disagree with `front`. `why_not_text` turns it into sentences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from letheon.common.errors import LetheonError
from letheon.journal.journal import Row, jsonable, trial_row
from letheon.pareto.front import (
    box_of,
    checkpoint_key,
    front_rows,
    goals_in_force,
    name_of,
    point_of,
    reports_by_stratum,
    target_metric,
    target_objective,
)
from letheon.pareto.geometry import Point, at_least
from letheon.pareto.objectives import Goals, is_audit, is_probe
from trainables.evaluation.metrics.catalog import number

Verdict = Literal["on_front", "dominated", "duplicate", "infeasible", "not_audited", "not_probed", "no_numbers"]

FLOOR = "utility_ratio"
_CLOSENESS: Mapping[Verdict, int] = {
    "on_front": 0, "duplicate": 1, "dominated": 1, "infeasible": 2, "not_audited": 3, "not_probed": 4, "no_numbers": 5,
}  # fmt: skip
_QUERY = re.compile(r"(?P<trial>[^@]+)(@(?P<epoch>\d{1,6}))?")


class NotATrial(LetheonError):
    """Neither TRIAL nor TRIAL@EPOCH."""


@dataclass(frozen=True)
class Stage:
    """One selection among the checkpoints of a stratum: its goals and the resulting front. `spans`: lengths of the
    objectives' ranges; `start`: the target model's first objective, maximised.

    Goals that need audits select twice: first the search, then the audit among what the search found (decision 9).
    """

    name: Literal["search", "audit"]
    goals: Goals
    front: tuple[Row, ...]
    spans: tuple[float, ...]
    start: float


@dataclass(frozen=True)
class Violation:
    """A limit, or the utility floor, that a checkpoint misses by `by`, in the metric's units.

    If the metric is missing or NaN, `value` is NaN and `by` infinite.
    """

    metric: str
    value: float
    limit: float
    side: Literal["min", "max"]
    by: float


@dataclass(frozen=True)
class Change:
    """A change of one objective that would suffice: any value better than `value`. `step`: its size, in ranges."""

    metric: str
    value: float
    step: float


@dataclass(frozen=True)
class Judgement:
    """The verdict on a reported checkpoint, from the stage that left it out (for a front point, the last stage).

    `without_number`: objectives that are missing or not finite. `rivals`: front checkpoints at least as good in all
    objectives, the clearest first; for a duplicate, the one with its objectives. `needed`: changes, each of which would
    put it on the stage's front, the smaller first.
    """

    row: Row
    stage: Stage
    verdict: Verdict
    without_number: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    rivals: tuple[Row, ...] = ()
    needed: tuple[Change, ...] = ()

    @property
    def name(self) -> str:
        return name_of(self.row)

    @property
    def distance(self) -> tuple[bool, int, float, float, int]:
        """Sorts by distance from the front: by stage, then by verdict, then by the size of what is missing.

        Both changes count, so of two checkpoints that miss the same in one objective the better one is closer.
        """
        lacks = [change.step for change in self.needed] + [math.inf, math.inf]
        if self.verdict == "infeasible":
            lacks = [self.stage.goals.violation(self.row["metrics"]), 0.0]
        return self.stage.name == "search", _CLOSENESS[self.verdict], lacks[0], lacks[1], self.row["epoch"]


@dataclass(frozen=True)
class Answer:
    """Everything about one trial and the front of its stratum. `epoch`: of the query; None for all.

    `judged`: its reported checkpoints by epoch, or that of the query. `end`: its end row. `final`: the stage that made
    the current front; `wanted`: the sweep's goals, including audits; `trials`: trial rows by name.
    """

    trial: Row
    epoch: int | None
    end: Row | None
    reported: tuple[int, ...]
    judged: tuple[Judgement, ...]
    final: Stage
    wanted: Goals
    utility_floor: float
    trials: Mapping[str, Row]

    @property
    def on_front(self) -> tuple[int, ...]:
        return tuple(one.row["epoch"] for one in self.judged if one.verdict == "on_front")

    @property
    def best(self) -> Judgement | None:
        """The checkpoint closest to the front; None without a report."""
        return min(self.judged, key=lambda one: one.distance, default=None)

    @property
    def awaits_audit(self) -> bool:
        """Whether the goals need audits and none was made yet."""
        return self.wanted.needs_audit and not self.final.goals.needs_audit

    def to_json(self) -> dict[str, Any]:
        """The shape of `front --why-not TRIAL --json`."""
        end, best = self.end or {}, self.best
        checkpoints = [self._described(one) for one in self.judged]
        if not checkpoints and self.epoch is not None:
            checkpoints = [{"epoch": self.epoch, "verdict": "not_reported" if self.epoch else "target_model"}]
        return jsonable(
            {
                "trial": self.trial["trial"],
                "epoch": self.epoch,
                "stratum": self.trial["stratum"],
                "config": self.trial["config"],
                "outcome": end.get("outcome"),
                "reason": end.get("reason"),
                "ended_at": end.get("epoch"),
                "reported": self.reported,
                **self.final.goals.to_json(),
                "utility_floor": self.utility_floor,
                "awaits_audit": self.awaits_audit,
                "on_front": self.on_front,
                "best": best and best.row["epoch"],
                "checkpoints": checkpoints,
            }
        )

    def _described(self, one: Judgement) -> dict[str, Any]:
        return {
            "epoch": one.row["epoch"],
            "verdict": one.verdict,
            "stage": one.stage.name,
            "metrics": one.row["metrics"],
            "without_number": one.without_number,
            "violations": [
                {"metric": each.metric, "value": each.value, each.side: each.limit, "by": each.by}
                for each in one.violations
            ],
            "rivals": [point_of(row, self.trials[row["trial"]], self.final.goals) for row in one.rivals],
            "needed": {change.metric: change.value for change in one.needed},
        }


def why_not(rows: Sequence[Row], query: str, goals: Goals | None = None) -> Answer:
    """The answer for a trial (`t007`) or a checkpoint (`t007@5`). Raises NotATrial and UnknownTrial."""
    found = _QUERY.fullmatch(query)
    if found is None:
        raise NotATrial(f"--why-not {query!r}: must be TRIAL or TRIAL@EPOCH, such as t007 or t007@5")
    goals, name = goals or Goals(), found["trial"]
    epoch = None if found["epoch"] is None else int(found["epoch"])
    trial = trial_row(rows, name)
    trials = {row["trial"]: row for row in rows if row["kind"] == "trial"}
    members = [row for row in trials.values() if row["stratum"] == trial["stratum"]]
    reports = reports_by_stratum(rows)[trial["stratum"]]
    stages = _stages(reports, members, goals_in_force(rows, goals))
    own = sorted((row for row in reports if row["trial"] == name), key=checkpoint_key)
    return Answer(
        trial=trial,
        epoch=epoch,
        end=next((row for row in rows if row["kind"] == "end" and row["trial"] == name), None),
        reported=tuple(row["epoch"] for row in own),
        judged=tuple(_judge(row, stages) for row in own if epoch in (None, row["epoch"])),
        final=stages[-1],
        wanted=goals,
        utility_floor=goals.floor * target_metric(goals, "model_utility", reports, members),
        trials=trials,
    )


def _stages(reports: Sequence[Row], members: Sequence[Row], current: Goals) -> list[Stage]:
    """The stages that made the front of a stratum. `members`: its trial rows; `current`: the goals of the front.

    If the target model's utility is unknown, objectives are compared in their own units.
    """
    found: list[Stage] = []
    for name, goals in (("search", current.search_goals), ("audit", current))[: 1 + current.needs_audit]:
        start = target_objective(goals.x, members)
        front = front_rows(found[-1].front if found else reports, goals, start)
        lengths = (b - a for a, b in zip(*box_of(goals, reports, members), strict=True))
        spans = tuple(length if math.isfinite(length) and length > 0 else 1.0 for length in lengths)
        found.append(Stage("search" if name == "search" else "audit", goals, tuple(front), spans, start))
    return found


def _judge(row: Row, stages: Sequence[Stage]) -> Judgement:
    """The verdict of the first stage that left the report out."""
    stage, *later = stages
    goals, metrics = stage.goals, row["metrics"]
    missing = tuple(axis.metric for axis in goals.axes if not math.isfinite(axis.maximised(metrics)))
    if missing:
        return Judgement(row, stage, _unmeasured(missing, metrics), without_number=missing)
    if any(checkpoint_key(one) == checkpoint_key(row) for one in stage.front):
        return _judge(row, later) if later else Judgement(row, stage, "on_front")
    here = goals.objectives(metrics)
    rivals = _rivals(here, stage)
    violations = tuple(_violations(stage, metrics))
    if violations:
        return Judgement(row, stage, "infeasible", violations=violations, rivals=rivals)
    equal = tuple(one for one in rivals if goals.objectives(one["metrics"]) == here)
    changes = tuple(sorted(_changes(row, rivals, stage), key=lambda change: change.step))
    return Judgement(row, stage, "duplicate" if equal else "dominated", rivals=equal or rivals, needed=changes)


def _unmeasured(missing: Sequence[str], metrics: Mapping[str, Any]) -> Verdict:
    absent = [name for name in missing if name not in metrics]
    if any(map(is_audit, absent)):
        return "not_audited"
    return "not_probed" if any(map(is_probe, absent)) else "no_numbers"


def _violations(stage: Stage, metrics: Mapping[str, Any]) -> Iterator[Violation]:
    goals, axis = stage.goals, stage.goals.x
    ratio, gain = goals.ratio(metrics), axis.maximised(metrics) - stage.start
    if gain <= 0:
        side: Literal["min", "max"] = "min" if axis.better == "max" else "max"
        yield Violation(axis.metric, number(metrics, axis.metric), axis.sign * stage.start, side, -gain)
    if ratio < goals.floor:
        yield Violation(FLOOR, number(metrics, FLOOR), goals.floor, "min", goals.floor - ratio)
    for limit in goals.all_limits:
        if limit.violation(metrics) > 0:
            value = number(metrics, limit.metric)
            low = value < limit.low or (math.isnan(value) and math.isfinite(limit.low))
            end = limit.low if low else limit.high
            by = math.inf if math.isnan(value) else abs(value - end)
            yield Violation(limit.metric, value, end, "min" if low else "max", by)


def _rivals(here: Point, stage: Stage) -> tuple[Row, ...]:
    """Front checkpoints at least as good in all objectives; first the one that is better in all by most."""
    better = []
    for row in stage.front:
        there = stage.goals.objectives(row["metrics"])
        if at_least(there, here):
            leads = [(a - b) / span for a, b, span in zip(there, here, stage.spans, strict=True)]
            better.append((-math.prod(leads), -sum(leads), checkpoint_key(row), row))
    return tuple(row for *_, row in sorted(better, key=lambda one: one[:3]))


def _changes(row: Row, rivals: Sequence[Row], stage: Stage) -> Iterator[Change]:
    """Per objective, just beyond the best of the rivals: no other point is at least as good in the other objectives.

    An objective with a limit that such a value would violate is left out.
    """
    for axis, span in zip(stage.goals.axes, stage.spans, strict=True):
        best = max(axis.maximised(one["metrics"]) for one in rivals)
        beyond = {**row["metrics"], axis.metric: axis.sign * math.nextafter(best, math.inf)}
        if stage.goals.violation(beyond) == 0:
            yield Change(axis.metric, axis.sign * best, (best - axis.maximised(row["metrics"])) / span)
