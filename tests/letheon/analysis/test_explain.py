"""`explain` gives the reasons that the scheduler recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from letheon.analysis.explain import explain, in_words
from letheon.journal import Journal, Row, UnknownTrial
from letheon.schedulers import asha
from letheon.schedulers.config import CollapseConfig, SchedulerConfig
from letheon.schedulers.scheduler import SweepScheduler
from tests.letheon.schedulers.driving import report_to


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Three trials at rung 1; t002 is pruned there, t000 collapses at epoch 2, t001 continues, t003 has begun."""
    journal = Journal(tmp_path / "journal.jsonl")
    rules = SchedulerConfig(name="pareto_asha", max_epochs=9, collapse=CollapseConfig(floor=0.8, patience=2))
    scheduler = SweepScheduler(rules)
    for name in ("t000", "t001", "t002", "t003"):
        config = {"method": "npo_rt", "learning_rate": 1.23456e-05, "forget_fraction": 0.05}
        origin = {"origin": "model: expected hypervolume gain 0.12 of the box"} if name == "t002" else {}
        journal.append("trial", trial=name, stratum="0.05", config=config, baseline={}, **origin)
    reports = [("t000", 1, -10.0, 0.75), ("t001", 1, -2.0, 0.95), ("t002", 1, -12.0, 0.9), ("t000", 2, -9.0, 0.41)]
    for trial, epoch, quality, ratio in reports:
        metrics = {"log10_forget_quality": quality, "utility_ratio": ratio}
        decision = report_to(scheduler, trial, "0.05", epoch, metrics)
        journal.append("report", trial=trial, epoch=epoch, metrics=metrics, decision=decision.to_json())
        if decision.action == "stop":
            journal.append("end", trial=trial, outcome=decision.outcome, reason=decision.reason, epoch=epoch)
    return journal


PRUNED = "rung 1: rank 2 of 3, on front 1, outside the best 1/3"


def test_a_pruned_trial_in_words(journal: Journal) -> None:
    assert in_words(journal.rows, "t002", 3.0) == [
        "t002: method npo_rt, learning_rate 1.23e-05, forget_fraction 0.05",
        "chosen by: model: expected hypervolume gain 0.12 of the box",
        f"epoch 1: stopped: {PRUNED}",
        "t002 was pruned at epoch 1: at rung 1 it was rank 2 of 3, with 1 better; to continue it needed rank 1 of 3",
    ]
    assert in_words(journal.rows, "t002")[-1] == (
        "t002 was pruned at epoch 1: at rung 1 it was rank 2 of 3, with 1 better"
    )  # fmt: skip


def test_a_collapsed_trial_in_words(journal: Journal) -> None:
    assert in_words(journal.rows, "t000") == [
        "t000: method npo_rt, learning_rate 1.23e-05, forget_fraction 0.05",
        "epoch 1: continued: rung 1: rank 1 of 1, infeasible by 0.05; fewer than 3 stop nobody "
        "(utility_ratio 0.75 < floor 0.8, 1 of 2 reports)",
        "epoch 2: stopped: utility_ratio 0.41 < floor 0.8 for 2 reports in a row",
        "t000 collapsed at epoch 2, regardless of its rank: utility_ratio 0.41 < floor 0.8 for 2 reports in a row; "
        "at rung 1 it was rank 1 of 1, with none better",
    ]


def test_trials_that_have_not_ended(journal: Journal) -> None:
    assert in_words(journal.rows, "t001")[-1] == (
        "t001 is still running after epoch 1: at rung 1 it was rank 1 of 2, with none better"
    )
    assert explain(journal.rows, "t001")["outcome"] is None
    assert "no report yet" in in_words(journal.rows, "t003")[-1]
    assert explain(journal.rows, "t003")["decisions"] == []


def test_only_paths_that_were_switched_off_are_named(journal: Journal) -> None:
    """As of the last report: what a restarted worker could use again is not off."""
    why = "lean layers: off: values differ by 1.0e-02 and gradients by 3.0e-02 of their largest, allowed are 1e-04"
    states = "packed rectangles: on; lean layers: on; prefix tree: not used"
    rows = [dict(row) for row in journal.rows]
    first, last = (row for row in rows if row["kind"] == "report" and row["trial"] == "t000")
    first["fast_paths"], last["fast_paths"] = states, states.replace("lean layers: on", why)
    assert explain(rows, "t000")["fast_paths_off"] == [why]
    assert f"slower than usual, {why}" in in_words(rows, "t000")
    first["fast_paths"], last["fast_paths"] = last["fast_paths"], states
    assert explain(rows, "t000")["fast_paths_off"] == []
    assert explain(journal.rows, "t003")["fast_paths_off"] == []


@pytest.mark.parametrize(
    ("rank", "of", "eta", "needed"),
    [
        (2, 3, 3.0, "1 of 3"),
        (4, 9, 3.0, "3 or better of 9"),
        (5, 10, 3.0, "4 or better of 10"),
        (11, 11, 1.1, "10 or better of 11"),
    ],
)
def test_the_rank_that_a_pruned_trial_needed_is_the_rungs_rule(rank: int, of: int, eta: float, needed: str) -> None:
    assert ending("pruned", decision(rank=rank, of=of, front=2), eta).endswith(f"; to continue it needed rank {needed}")
    config = SchedulerConfig(name="asha", reduction_factor=eta, min_rung_size=1)
    best = next(place for place in range(of, 0, -1) if continues(place, of, config))
    assert needed.split(maxsplit=1)[0] == str(best)


def test_a_pruned_trial_need_not_be_dominated() -> None:
    """Inside a front the spread decides."""
    assert ", with 3 better, though nothing there dominated it; to" in ending("pruned", decision(rank=4, front=0))


def test_an_unknown_trial(journal: Journal) -> None:
    with pytest.raises(UnknownTrial, match="did you mean"):
        explain(journal.rows, "t02")


def trial() -> list[Row]:
    return [{"kind": "trial", "trial": "t000", "stratum": "0.05", "config": {"method": "npo"}}]


def decision(**changed: Any) -> dict[str, Any]:
    known = {"epoch": 3, "rung": 3, "rank": 2, "of": 9, "front": None, "violation": 0.0, "action": "stop"}
    return {**known, "reason": "rung 3", **changed}


def report(made: dict[str, Any]) -> Row:
    return {"kind": "report", "trial": "t000", "epoch": made["epoch"], "metrics": {}, "decision": made}


def ending(outcome: str, made: dict[str, Any], eta: float = 3.0, reason: str = "rung 3") -> str:
    """The last line of a trial with one report."""
    end = {"kind": "end", "trial": "t000", "outcome": outcome, "reason": reason, "epoch": made["epoch"]}
    return in_words([*trial(), report(made), end], "t000", eta)[-1]


def continues(rank: int, of: int, config: SchedulerConfig) -> bool:
    """Whether the rung lets a newcomer of this rank continue."""
    others = [1.0 if i < rank - 1 else -1.0 for i in range(of - 1)]
    return asha.decide(others, 0.0, 3, 3, config).action == "continue"
