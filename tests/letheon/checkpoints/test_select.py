"""Choosing a front checkpoint by rule, by name and under limits on any metric, on fronts of any two objectives."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.checkpoints.select import Bound, EmptyFrontError, SelectionError, parse_bound, select
from letheon.pareto.front import front_of
from letheon.pareto.objectives import Axis, Goals
from tests.letheon.tracking.tracking_support import story

BACK = "probe_relearn_forget_rouge"
RELEARN = "audit_relearn_forget_rouge"
AUDITS = {("t000", 1): 0.1, ("t000", 2): 0.3, ("t000", 3): 0.6}


def audited() -> dict[str, Any]:
    rows = story()
    for (trial, epoch), value in AUDITS.items():
        rows.append({"kind": "audit", "trial": trial, "epoch": epoch, "stratum": "0.05", "metrics": {RELEARN: value}})
    return front_of(rows, "sweep")


FRONT = audited()


def chosen(rule: str, *bounds: Bound) -> str:
    found = select(FRONT, rule, 0.05, bounds=bounds)
    return f"{found.trial}@{found.epoch}"


def test_rules_choose_from_a_front_of_three_objectives() -> None:
    rows = story()
    for row in rows:
        if row["kind"] == "report":
            row["metrics"] = {**row["metrics"], BACK: {1: 0.3, 2: 0.1, 3: 0.7}.get(row["epoch"], 0.5)}
    front = front_of(rows, "sweep", Goals(z=Axis(BACK, "min", 1.0, 0.0)))

    def of(rule: str, *bounds: Bound) -> str:
        found = select(front, rule, 0.05, bounds=bounds)
        return f"{found.trial}@{found.epoch}"

    assert (of("max-utility"), of("max-forget"), of("knee")) == ("t000@1", "t000@3", "t000@2")
    assert of("max-forget", Bound(BACK, "max", 0.4)) == "t000@2"
    assert of("knee", Bound(BACK, "min", 0.5)) == "t000@3"


@pytest.mark.parametrize(
    ("rule", "fraction", "least", "chosen"),
    [
        ("max-utility", 0.05, None, "t000@1"),
        ("max-forget", 0.05, None, "t000@3"),
        ("max-forget", 0.05, 0.9, "t000@2"),
        ("max-utility", 0.05, 0.9, "t000@1"),
        ("knee", 0.1, None, "t002@1"),
        ("t000@2", 0.05, None, "t000@2"),
        ("t002@1", None, None, "t002@1"),
    ],
)
def test_a_rule_or_a_name_chooses_a_checkpoint(
    rule: str, fraction: float | None, least: float | None, chosen: str
) -> None:
    found = select(FRONT, rule, fraction, least)
    assert f"{found.trial}@{found.epoch}" == chosen


@pytest.mark.parametrize(
    ("rule", "fraction", "least", "message"),
    [
        ("knee", None, None, r"--fraction is needed.*0\.05, 0\.1"),
        ("knee", 0.2, None, r"--fraction 0\.2.*0\.05, 0\.1 only"),
        ("best", 0.05, None, "must be one of knee, max-utility, max-forget or TRIAL@EPOCH"),
        ("t001@1", 0.05, None, r"t001@1: not on the front of fraction 0\.05, which has t000@1, t000@2, t000@3"),
        ("t001@1", 0.05, None, r"; why: letheon front sweep --why-not t001@1"),
        ("t001@9", None, None, r"not on a front \(0\.05 has t000@1, t000@2, t000@3; 0\.1 has .*\); why: letheon"),
        ("max-forget", 0.05, 1.5, r"--min-utility 1\.5.*best is t000@1 with 0\.992"),
        ("t000@3", 0.05, 0.9, r"t000@3 with 0\.833.*max-forget"),
    ],
)
def test_a_choice_that_matches_nothing_lists_what_there_is(
    rule: str, fraction: float | None, least: float | None, message: str
) -> None:
    with pytest.raises(SelectionError, match=message):
        select(FRONT, rule, fraction, least)


def test_nothing_can_be_chosen_from_an_empty_front() -> None:
    with pytest.raises(EmptyFrontError, match="empty"):
        select({"strata": {"0.05": {"points": [], "knee": None}}})


def test_the_rule_chooses_among_those_within_the_limits() -> None:
    assert [chosen(rule) for rule in ("knee", "max-forget", "max-utility")] == ["t000@2", "t000@3", "t000@1"]
    at_most = Bound(RELEARN, "max", 0.3)
    assert [chosen(rule, at_most) for rule in ("knee", "max-forget", "max-utility")] == ["t000@2", "t000@2", "t000@1"]
    least = Bound("log10_forget_quality", "min", -1.1)
    assert [chosen(rule, least) for rule in ("knee", "max-forget", "max-utility")] == ["t000@3"] * 3
    assert chosen("knee", Bound(RELEARN, "max", 0.1)) == "t000@1"


@given(st.floats(0.1, 1), st.sampled_from(["knee", "max-forget", "max-utility"]))
def test_what_is_chosen_is_within_the_limit(limit: float, rule: str) -> None:
    found = select(FRONT, rule, 0.05, bounds=[Bound(RELEARN, "max", limit)])
    assert found.point["metrics"][RELEARN] <= limit


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ([Bound(RELEARN, "max", 0.05)], "the best on the front of fraction 0.05 is 0.1; relax the limit"),
        ([Bound(RELEARN, "max", 0.1), Bound("model_utility", "min", 0.6)], "the best on the front of fraction 0.05 is"),
        ([Bound(RELEARN, "max", 0.1), Bound("model_utility", "max", 0.55)], "satisfies all; relax one"),
        ([Bound("audit_nf4_forget_rouge", "max", 0.5)], "was audited with this attack; run letheon audit SWEEP first"),
        ([Bound("audit_nf4_forget_rouge", "max", 0.5, "--max-nf4")], "--max-nf4 0.5: no checkpoint of fraction 0.05"),
        ([Bound("model_utilty", "max", 0.5)], "did you mean 'model_utility'?"),
    ],
)
def test_limits_that_nothing_satisfies_say_what_there_is(bounds: list[Bound], text: str) -> None:
    with pytest.raises(SelectionError) as caught:
        select(FRONT, "knee", 0.05, bounds=bounds)
    assert text in str(caught.value)


def test_a_named_point_must_be_within_the_limits_too() -> None:
    assert chosen("t000@3", Bound(RELEARN, "max", 0.6)) == "t000@3"
    with pytest.raises(SelectionError, match=r"t000@3 has audit_relearn_forget_rouge 0\.6"):
        chosen("t000@3", Bound(RELEARN, "max", 0.3))
    with pytest.raises(SelectionError, match="t000@3 has no audit_nf4_forget_rouge"):
        chosen("t000@3", Bound("audit_nf4_forget_rouge", "max", 0.3))


def test_on_a_front_of_other_objectives_forgetting_is_the_first() -> None:
    goals = Goals(x=Axis("forget_kl", "min", 5.0, 0.0), y=Axis("retain_kl", "min", 2.0, 0.0))
    rows: list[dict[str, Any]] = [{"kind": "trial", "trial": "t0", "stratum": "0.5", "config": {}, "baseline": {}}]
    for epoch, (forget, retain) in enumerate([(0.5, 1.0), (1.0, 0.9), (3.0, 0.05)], start=1):
        metrics = {"forget_kl": forget, "retain_kl": retain, "utility_ratio": 1.0}
        rows.append({"kind": "report", "trial": "t0", "epoch": epoch, "metrics": metrics})
    front = front_of(rows, goals=goals)
    assert [select(front, rule).epoch for rule in ("max-forget", "max-utility")] == [1, 3]
    assert select(front, "knee", bounds=[Bound("forget_kl", "min", 0.9)]).epoch == 3
    assert select(front, "knee", bounds=[Bound("retain_kl", "min", 0.5)]).epoch == 1


def test_limits_are_parsed_as_they_are_typed() -> None:
    assert parse_bound("max", "forget_rouge=0.4") == Bound("forget_rouge", "max", 0.4)
    assert str(parse_bound("min", "model_utility = 1e-1")) == "--min model_utility=0.1"
    for text in ("forget_rouge", "=0.4", "forget_rouge=", "forget_rouge=x", "forget_rouge=nan"):
        with pytest.raises(SelectionError, match="must be METRIC=VALUE"):
            parse_bound("max", text)
    assert not Bound("a", "max", 1.0).holds({"metrics": {"a": math.nan}})
