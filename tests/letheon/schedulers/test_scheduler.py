"""The scheduler of a whole sweep: trajectories, strata, late reporters, and replay from the journal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from letheon.journal import Journal
from letheon.pareto.objectives import Axis, Goals
from letheon.schedulers.config import CollapseConfig, SchedulerConfig
from letheon.schedulers.decision import Decision
from letheon.schedulers.scheduler import SweepScheduler
from tests.letheon.schedulers.driving import report_to
from trainables.config import ProbeConfig

Report = tuple[str, int, dict[str, float]]

CONFIG = SchedulerConfig(name="asha", max_epochs=9)
STRATA = {"t000": "0.05", "t001": "0.05", "t002": "0.05", "t003": "0.05", "t004": "0.1", "t005": "0.1"}

NUMBER = st.integers(0, 6).map(lambda i: i / 6) | st.floats(0, 1)
QUALITY = NUMBER.map(lambda x: -20 * (1 - x)) | st.sampled_from([math.nan])
RATIO = NUMBER.map(lambda x: 0.7 + 0.4 * x) | st.sampled_from([math.nan, math.inf])
METRICS = st.fixed_dictionaries({"log10_forget_quality": QUALITY, "utility_ratio": RATIO}, optional={"loss": NUMBER})
REPORTS = st.lists(st.tuples(st.sampled_from(sorted(STRATA)), st.integers(1, 10), METRICS), max_size=40)
CONFIGS = st.builds(
    SchedulerConfig,
    name=st.sampled_from(["asha", "pareto_asha", "none"]),
    max_epochs=st.sampled_from([1, 4, 9, 10]),
    reduction_factor=st.sampled_from([2, 3]),
    min_rung_size=st.integers(1, 3),
    metric=st.sampled_from([None, "utility_ratio"]),
    mode=st.sampled_from(["max", "min"]),
)


def metrics(value: float, ratio: float = 1.0) -> dict[str, float]:
    """Metrics whose area is `value` x `ratio`."""
    return {"log10_forget_quality": 20 * value - 20, "utility_ratio": ratio}


def drive(scheduler: SweepScheduler, reports: Iterable[Report]) -> list[Decision]:
    return [report_to(scheduler, trial, STRATA[trial], epoch, found) for trial, epoch, found in reports]


def rung_actions(*values: float, config: SchedulerConfig = CONFIG) -> list[str]:
    scheduler = SweepScheduler(config)
    return [report_to(scheduler, f"t{i:03}", "0.05", 1, metrics(value)).action for i, value in enumerate(values)]


def test_a_rung_by_hand() -> None:
    assert rung_actions(0.5, 0.4, 0.3, 0.6, 0.55) == ["continue", "continue", "stop", "continue", "continue"]


def test_without_a_scheduler_nothing_is_pruned() -> None:
    assert set(rung_actions(0.9, 0.8, 0.1, 0.0, config=SchedulerConfig(name="none", max_epochs=9))) == {"continue"}


def test_the_value_at_a_rung_is_the_best_so_far() -> None:
    scheduler = SweepScheduler(SchedulerConfig(name="asha", max_epochs=9, min_rung_size=1))
    for epoch, value in enumerate([0.2, 0.8, 0.1], start=1):
        decision = report_to(scheduler, "t000", "0.05", epoch, metrics(value))
    assert decision.reason.startswith("rung 3: best area 0.8 ")
    report_to(scheduler, "t001", "0.05", 1, metrics(0.2))
    assert report_to(scheduler, "t001", "0.05", 3, metrics(0.5)).rank == 2


def test_a_late_reporter_is_recorded_at_one_rung_only() -> None:
    scheduler = SweepScheduler(SchedulerConfig(name="asha", max_epochs=10))
    late = [report_to(scheduler, "late", "0.05", epoch, metrics(0.9)) for epoch in (5, 6, 8)]
    assert [decision.rung for decision in late] == [3, None, None]
    first = report_to(scheduler, "t001", "0.05", 1, metrics(0.1))
    assert (first.rung, first.rank, first.of) == (1, 1, 1)
    third = report_to(scheduler, "t001", "0.05", 3, metrics(0.1))
    assert (third.rung, third.rank, third.of) == (3, 2, 2)


def test_the_last_epoch_completes_whatever_the_rank() -> None:
    scheduler = SweepScheduler(SchedulerConfig(name="asha", max_epochs=3, min_rung_size=1))
    report_to(scheduler, "t000", "0.05", 3, metrics(0.9))
    last = report_to(scheduler, "t001", "0.05", 3, metrics(0.1))
    assert (last.action, last.outcome, last.rung, last.rank) == ("stop", "completed", 3, 2)
    assert last.reason == "reached max_epochs 3; rank 2 of 2 at the last rung"


def test_a_collapse_at_the_last_epoch_is_a_collapse() -> None:
    scheduler = SweepScheduler(SchedulerConfig(name="asha", max_epochs=2, collapse=CollapseConfig(patience=2)))
    first = report_to(scheduler, "t000", "0.05", 1, metrics(0.5, 0.7))
    assert first.reason.endswith("(utility_ratio 0.7 < floor 0.8, 1 of 2 reports)")
    assert first.violation == pytest.approx(0.1)
    last = report_to(scheduler, "t000", "0.05", 2, metrics(0.5, 0.41))
    assert (last.action, last.outcome) == ("stop", "collapsed")
    assert last.reason == "utility_ratio 0.41 < floor 0.8 for 2 reports in a row"
    assert last.violation == pytest.approx(0.39)


def test_a_metric_that_is_not_finite_stops_at_once_and_ranks_last() -> None:
    scheduler = SweepScheduler(CONFIG)
    bad = report_to(scheduler, "t000", "0.05", 1, {**metrics(0.9), "loss": math.nan})
    assert (bad.action, bad.outcome, bad.rank, bad.violation) == ("stop", "collapsed", 1, 0.0)
    assert bad.reason == "loss is nan at epoch 1, not a finite number"
    assert report_to(scheduler, "t001", "0.05", 1, metrics(0.0)).rank == 1
    broken = report_to(scheduler, "t002", "0.05", 1, {"log10_forget_quality": -1.0, "utility_ratio": math.nan})
    assert (broken.action, broken.rank, broken.of, broken.violation) == ("stop", 2, 3, None)


def test_after_the_end_everything_is_stopped_and_nothing_recorded() -> None:
    scheduler = SweepScheduler(CONFIG)
    report_to(scheduler, "t000", "0.05", 1, metrics(0.9))
    scheduler.take({"kind": "end", "trial": "t000", "reason": "the worker was lost"})
    after = report_to(scheduler, "t000", "0.05", 3, metrics(0.9))
    assert (after.action, after.reason) == ("stop", "the trial has ended already: the worker was lost")
    assert report_to(scheduler, "t001", "0.05", 3, metrics(0.1)).of == 1


def test_epoch_0_is_not_a_report() -> None:
    with pytest.raises(ValueError, match="epoch 0 of t000: reports begin at epoch 1"):
        report_to(SweepScheduler(CONFIG), "t000", "0.05", 0, metrics(0.0))


@given(REPORTS, CONFIGS)
@settings(deadline=None)
def test_a_report_that_comes_again_gets_the_same_answer_and_changes_nothing(
    reports: list[Report], config: SchedulerConfig
) -> None:
    once, twice = SweepScheduler(config), SweepScheduler(config)
    expected = drive(once, reports)
    for report, decision in zip(reports, expected, strict=True):
        assert drive(twice, [report, report]) == [decision, drive(once, [report])[0]]


@given(REPORTS, st.permutations(sorted(STRATA)))
@settings(deadline=None)
def test_names_of_trials_do_not_matter(reports: list[Report], order: list[str]) -> None:
    renamed = dict(zip(sorted(STRATA), order, strict=True))
    other = SweepScheduler(CONFIG)
    decisions = [report_to(other, renamed[t], STRATA[t], epoch, found) for t, epoch, found in reports]
    assert decisions == drive(SweepScheduler(CONFIG), reports)


@given(REPORTS)
@settings(deadline=None)
def test_a_stratum_decides_as_if_it_were_alone(reports: list[Report]) -> None:
    together = drive(SweepScheduler(CONFIG), reports)
    for stratum in ("0.05", "0.1"):
        mine = [STRATA[trial] == stratum for trial, _, _ in reports]
        alone = drive(SweepScheduler(CONFIG), [r for r, ok in zip(reports, mine, strict=True) if ok])
        assert alone == [d for d, ok in zip(together, mine, strict=True) if ok]


@given(REPORTS)
@settings(deadline=None)
def test_monotone_rescaling_of_the_metric_changes_no_action(reports: list[Report]) -> None:
    config = SchedulerConfig(name="asha", max_epochs=9, metric="loss", collapse=None)
    base = [(t, epoch, {"loss": found.get("loss", 0.5)}) for t, epoch, found in reports]
    order = {loss: i for i, loss in enumerate(sorted({found["loss"] for _, _, found in base}))}
    rescaled = [(t, epoch, {"loss": math.exp(order[found["loss"]]) - 3}) for t, epoch, found in base]
    flipped = [(t, epoch, {"loss": -float(order[found["loss"]])}) for t, epoch, found in base]
    expected = [(d.action, d.rank, d.of) for d in drive(SweepScheduler(config), base)]
    assert [(d.action, d.rank, d.of) for d in drive(SweepScheduler(config), rescaled)] == expected
    down = config.model_copy(update={"mode": "min"})
    assert [(d.action, d.rank, d.of) for d in drive(SweepScheduler(down), flipped)] == expected


def journalled(journal: Journal, scheduler: SweepScheduler, reports: Iterable[Report]) -> list[dict[str, Any]]:
    """Records results as the Tune adapter does, without Ray; returns the recorded decisions."""
    recorded = []
    for trial, epoch, found in reports:
        journal.append("trial", trial=trial, stratum=STRATA[trial], config={}, baseline={})
        end = journal.find("end", trial)
        decision = report_to(scheduler, trial, STRATA[trial], epoch, found)
        if end is None:
            journal.append("report", trial=trial, epoch=epoch, metrics=found, decision=decision.to_json())
            if decision.action == "stop":
                journal.append("end", trial=trial, outcome=decision.outcome, reason=decision.reason, epoch=epoch)
        recorded.append(decision.to_json())
    return recorded


ENDED = {"log10_forget_quality": -20.0, "utility_ratio": 0.7}


@given(REPORTS, CONFIGS, st.lists(st.integers(0, 40), max_size=3), st.booleans())
@example([("t000", epoch, ENDED) for epoch in (1, 2, 1, 1)], SchedulerConfig(name="asha", max_epochs=1), [4], True)
@settings(max_examples=60, deadline=None)
def test_after_a_kill_anywhere_decisions_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    reports: list[Report],
    config: SchedulerConfig,
    cuts: list[int],
    lose_end: bool,
) -> None:
    expected = [decision.to_json() for decision in drive(SweepScheduler(config), reports)]
    path: Path = tmp_path_factory.mktemp("journal") / "j"
    found: list[dict[str, Any]] = []
    bounds = [0, *sorted(min(cut, len(reports)) for cut in cuts), len(reports)]
    for start, stop in pairwise(bounds):
        if lose_end:
            drop_last_end(path)
        journal, scheduler = Journal(path), SweepScheduler(config)
        write_lost_ends(journal)
        for row in journal.rows:
            scheduler.take(row)
        journalled(journal, scheduler, reports[max(0, start - 3) : start])  # Tune repeats what its snapshot has lost
        found += journalled(journal, scheduler, reports[start:stop])
        journal.close()
    assert repr(found) == repr(expected)
    rows = [row for row in Journal.read(path) if row["kind"] == "report"]
    assert len({(row["trial"], row["epoch"]) for row in rows}) == len(rows)


def write_lost_ends(journal: Journal) -> None:
    """As the controller does when it is opened."""
    for row in list(journal.rows):
        if row["kind"] == "report" and (last := row["decision"])["action"] == "stop":
            fields = {key: last[key] for key in ("outcome", "reason", "epoch")}
            journal.append("end", trial=row["trial"], **fields)


def drop_last_end(path: Path) -> None:
    """A driver that died between the report that stops a trial and the row of its end."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if lines and b'"kind":"end"' in lines[-1]:
        path.write_bytes(b"".join(lines[:-1]))


# ---- other objectives

KL = Goals(x=Axis("forget_kl", "min", 5.0, 0.0), y=Axis("retain_kl", "min", 2.0, 0.0))


def test_rungs_rank_by_the_objectives_of_the_sweep() -> None:
    scheduler = SweepScheduler(SchedulerConfig(name="asha", max_epochs=9, reduction_factor=2), KL)
    found = []
    for i, (forget, retain) in enumerate([(2.5, 1.0), (0.5, 0.2), (4.5, 1.8), (0.0, 0.0)]):
        report = {"forget_kl": forget, "retain_kl": retain, "utility_ratio": 1.0}
        found.append(report_to(scheduler, f"t00{i}", "0.1", 1, report))
    assert [decision.action for decision in found] == ["continue", "continue", "stop", "continue"]
    assert [decision.rank for decision in found] == [1, 1, 3, 1]
    assert "best area 0.01" in found[2].reason


def test_an_objective_that_is_missing_is_named() -> None:
    decision = report_to(SweepScheduler(CONFIG, KL), "t000", "0.05", 1, metrics(0.5))
    assert (decision.action, decision.outcome) == ("stop", "failed")
    assert "forget_kl is missing from the report of epoch 1" in decision.reason


def test_before_the_audit_the_benchmarks_own_objectives_are_ranked() -> None:
    audited = Goals(x=Axis("audit_worst_forget_rouge", "min", 1.0, 0.0))
    reports = [(0.5, 1.0), (0.4, 0.9), (0.3, 0.8)]
    one, other = SweepScheduler(CONFIG), SweepScheduler(CONFIG, audited)
    for i, pair in enumerate(reports):
        assert report_to(one, f"t{i}", "0.1", 1, metrics(*pair)) == report_to(other, f"t{i}", "0.1", 1, metrics(*pair))


PROBED = Goals(z=Axis("probe_relearn_forget_rouge", "min", worst=1.0, best=0.0))
"""Rungs at epochs 1, 3 and 9."""


def probed(quality: float, back: float | None = None, ratio: float = 0.9) -> dict[str, float]:
    return {
        "log10_forget_quality": quality,
        "model_utility": ratio / 2,
        "utility_ratio": ratio,
        **({} if back is None else {"probe_relearn_forget_rouge": back}),
    }


def of_probes(name: Any = "pareto_asha", **settings: Any) -> SweepScheduler:
    config = SchedulerConfig(name=name, max_epochs=9, probe=ProbeConfig(), **settings)
    assert config.probe_epochs == (1, 3, 9)
    return SweepScheduler(config, PROBED)


def test_a_probe_is_required_at_rungs_only() -> None:
    scheduler = of_probes()
    assert report_to(scheduler, "t000", "0.05", 1, probed(-10, 0.5)).action == "continue"
    assert report_to(scheduler, "t000", "0.05", 2, probed(-8)).reason == "no rung at epoch 2"
    missing = report_to(scheduler, "t000", "0.05", 3, probed(-8))
    assert (missing.outcome, missing.rung) == ("failed", 3)
    assert "probe_relearn_forget_rouge is missing" in missing.reason
    assert SchedulerConfig(name="none", max_epochs=3, probe=ProbeConfig()).probe_epochs == (1, 2, 3)
    assert SchedulerConfig().probe_epochs == ()


@pytest.mark.parametrize(
    ("name", "metric"), [("pareto_asha", None), ("asha", None), ("asha", "probe_relearn_forget_rouge")]
)
def test_of_trials_alike_in_two_objectives_the_third_decides(name: str, metric: str | None) -> None:
    scheduler = of_probes(name, metric=metric, mode="min" if metric else "max", reduction_factor=3)
    for i, back in enumerate((0.5, 0.4, 0.3)):
        trial = f"t{i:03}"
        assert report_to(scheduler, trial, "0.05", 1, probed(-10, back)).action == "continue"
    better, worse = (report_to(scheduler, f"t00{i}", "0.05", 1, probed(-10, back)) for i, back in ((4, 0.1), (5, 0.9)))
    assert (better.action, better.rank) == ("continue", 1)
    assert (worse.action, worse.rank) == ("stop", 5)


def test_what_comes_back_later_is_compared_with_the_best_measured_so_far() -> None:
    scheduler = of_probes(min_rung_size=1)
    report_to(scheduler, "t000", "0.05", 1, probed(-10, 0.2))
    report_to(scheduler, "t000", "0.05", 2, probed(-2))  # not measured: no point of the trial
    assert report_to(scheduler, "t000", "0.05", 3, probed(-9, 0.6)).front == 0
    dominated = report_to(scheduler, "t001", "0.05", 3, probed(-10.5, 0.3))
    assert (dominated.rank, dominated.front) == (2, 1)
