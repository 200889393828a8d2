"""On random journals: why_not never disagrees with the front, and the changes that it states would suffice."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from letheon.analysis.why_not import Judgement, why_not
from letheon.analysis.why_not_text import in_words
from letheon.journal import Row
from letheon.pareto.front import front_of
from letheon.pareto.objectives import Axis, Goals, Limit, is_audit

TRIALS = ("t000", "t001", "t100")
COARSE = st.integers(-4, 4).map(float)
FINE = st.floats(-20, 0, allow_subnormal=False)
NUMBER = COARSE | FINE | st.sampled_from([math.nan, math.inf, -math.inf])
METRICS = st.fixed_dictionaries(
    {"a": NUMBER, "b": NUMBER, "utility_ratio": st.sampled_from([1.0, 0.8, 0.7, math.nan])},
    optional={"c": NUMBER, "model_utility": NUMBER, "log10_forget_quality": NUMBER, "probe_e": NUMBER},
)
PLACES = st.tuples(st.sampled_from(TRIALS), st.integers(1, 5))
REPORTS = st.dictionaries(PLACES, METRICS, max_size=12)
AUDITS = st.dictionaries(PLACES, st.fixed_dictionaries({"audit_d": COARSE}), max_size=12)
A, B = Axis("a", "max", -20.0, 100.0), Axis("b", "min", 100.0, -100.0)
E = Axis("probe_e", "min", 100.0, -100.0)
GOALS = st.sampled_from(
    [
        Goals(x=A, y=B),
        Goals(),
        Goals(x=A, y=B, limits=(Limit("c", low=-1.0, high=2.0, scale=3.0), Limit("b", low=-2.0))),
        Goals(x=A, y=B, limits=(Limit("audit_d", high=0.0),)),
        Goals(x=Axis("audit_d", "min", 100.0, -100.0), y=B, search_axes=(A, B)),
        Goals(x=A, y=B, z=E),
        Goals(x=A, y=B, z=Axis("audit_d", "min", 100.0, -100.0)),
    ]
)


def journal(reports: Mapping[tuple[str, int], Any], audits: Mapping[tuple[str, int], Any]) -> list[Row]:
    rows: list[Row] = [
        {"kind": "trial", "trial": name, "stratum": "0.1" if name == "t100" else "0.05", "config": {"method": "ga"}}
        for name in TRIALS
    ]
    for kind, found in (("report", reports), ("audit", audits)):
        for (name, epoch), metrics in found.items():
            rows.append({"kind": kind, "trial": name, "epoch": epoch, "stratum": "0.05", "metrics": dict(metrics)})
    return rows


def names(rows: Sequence[Row], goals: Goals) -> set[tuple[str, int]]:
    strata = front_of(rows, goals=goals)["strata"].values()
    return {(point["trial"], point["epoch"]) for stratum in strata for point in stratum["points"]}


def with_metric(rows: Sequence[Row], one: Judgement, metric: str, value: float) -> list[Row]:
    """The journal with another value of the metric for this checkpoint."""
    place = ("audit" if is_audit(metric) else "report", one.row["trial"], one.row["epoch"])
    return [
        {**row, "metrics": {**row["metrics"], metric: value}}
        if (row["kind"], row["trial"], row.get("epoch")) == place
        else row
        for row in rows
    ]


def with_better(rows: Sequence[Row], one: Judgement, metric: str, value: float) -> list[Row]:
    """The journal with the next better value than `value` for this checkpoint."""
    sign = next(axis.sign for axis in one.stage.goals.axes if axis.metric == metric)
    return with_metric(rows, one, metric, math.nextafter(value, sign * math.inf))


@given(REPORTS, AUDITS, GOALS)
def test_verdicts_are_the_fronts(reports: dict[Any, Any], audits: dict[Any, Any], goals: Goals) -> None:
    rows = journal(reports, audits)
    on_front = names(rows, goals)
    searched = names([row for row in rows if row["kind"] != "audit"], goals)
    for (name, epoch), metrics in reports.items():
        answer = why_not(rows, f"{name}@{epoch}", goals)
        [one] = answer.judged
        assert (one.verdict == "on_front") == ((name, epoch) in on_front)
        if goals.needs_audit and audits and one.stage.name == "search":
            assert (name, epoch) not in searched
        if one.verdict == "infeasible":
            assert one.stage.goals.violation(one.row["metrics"]) > 0
        elif one.verdict in {"no_numbers", "not_probed"}:
            assert (one.verdict == "not_probed") == ("probe_e" in one.without_number and "probe_e" not in metrics)
            assert not all(map(math.isfinite, one.stage.goals.objectives(metrics)))
        [*lines] = in_words(answer)
        assert lines[0].startswith(f"{name}@{epoch} ")
        json.dumps(answer.to_json(), allow_nan=False)


@given(REPORTS, AUDITS, GOALS)
def test_a_dominated_checkpoint_names_a_front_point_that_dominates_it(
    reports: dict[Any, Any], audits: dict[Any, Any], goals: Goals
) -> None:
    rows = journal(reports, audits)
    for name in TRIALS:
        for one in why_not(rows, name, goals).judged:
            here = one.stage.goals.objectives(one.row["metrics"])
            front = names(rows, one.stage.goals)
            for rival in one.rivals:
                there = one.stage.goals.objectives(rival["metrics"])
                assert (rival["trial"], rival["epoch"]) in front
                assert all(a >= b for a, b in zip(there, here, strict=True))
                assert (there == here) == (one.verdict == "duplicate") or one.verdict == "infeasible"
            assert bool(one.rivals) or one.verdict not in {"dominated", "duplicate"}
            if one.verdict == "duplicate":
                [first] = one.rivals
                assert (first["epoch"], first["trial"]) < (one.row["epoch"], one.row["trial"])


@given(REPORTS, AUDITS, GOALS)
def test_the_stated_change_would_put_it_on_the_front(
    reports: dict[Any, Any], audits: dict[Any, Any], goals: Goals
) -> None:
    rows = journal(reports, audits)
    for name in TRIALS:
        for one in why_not(rows, name, goals).judged:
            place, stage = (one.row["trial"], one.row["epoch"]), one.stage.goals
            for change in one.needed:
                assert place in names(with_better(rows, one, change.metric, change.value), stage)
                # and nothing less would suffice: the value itself may be an equal point, a worse one is dominated
                axis = next(axis for axis in stage.axes if axis.metric == change.metric)
                less = math.nextafter(change.value, -axis.sign * math.inf)
                if axis.sign * less > axis.maximised(one.row["metrics"]):
                    assert place not in names(with_metric(rows, one, change.metric, less), stage)


@given(REPORTS)
def test_the_rounded_change_in_the_text_would_suffice_too(reports: dict[Any, Any]) -> None:
    goals = Goals(x=A, y=B)
    rows = journal(reports, {})
    for name in TRIALS:
        answer = why_not(rows, name, goals)
        for one in answer.judged:
            line = in_words(replace(answer, epoch=one.row["epoch"], judged=(one,)))[0]
            for metric, number in re.findall(r"\b([ab]) (?:above|below) ([-+.\de]+)", line):
                assert (name, one.row["epoch"]) in names(with_better(rows, one, metric, float(number)), goals)
