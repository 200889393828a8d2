"""The reasons that `explain` gives are those that the scheduler recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from letheon.explain import explain, in_words
from letheon.records import Journal, UnknownTrial
from letheon.schedulers import SchedulerConfig, SweepScheduler


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Three trials at rung 1; t002 is pruned there, t000 collapses at epoch 2, t001 goes on, t003 has begun."""
    journal = Journal(tmp_path / "journal.jsonl")
    scheduler = SweepScheduler(SchedulerConfig(max_epochs=9))
    for name in ("t000", "t001", "t002", "t003"):
        config = {"method": "npo_rt", "learning_rate": 1.23456e-05, "forget_fraction": 0.05}
        journal.append("trial", trial=name, stratum="0.05", config=config, baseline={})
    reports = [("t000", 1, -10.0, 0.75), ("t001", 1, -2.0, 0.95), ("t002", 1, -12.0, 0.9), ("t000", 2, -9.0, 0.41)]
    for trial, epoch, quality, ratio in reports:
        metrics = {"log10_forget_quality": quality, "utility_ratio": ratio}
        decision = scheduler.on_report(trial, "0.05", epoch, metrics)
        journal.append("report", trial=trial, epoch=epoch, metrics=metrics, decision=decision.to_json())
        if decision.action == "stop":
            journal.append("end", trial=trial, outcome=decision.outcome, reason=decision.reason, epoch=epoch)
    return journal


def test_a_pruned_trial(journal: Journal) -> None:
    assert explain(journal.rows, "t002") == {
        "trial": "t002",
        "stratum": "0.05",
        "outcome": "pruned",
        "reason": "rung 1: best area 0.36 is rank 3 of 3, outside the best 1/3",
        "decisions": [
            {
                "epoch": 1, "rung": 1, "rank": 3, "of": 3, "front": None, "violation": 0.0, "action": "stop",
                "reason": "rung 1: best area 0.36 is rank 3 of 3, outside the best 1/3",
            }
        ],
    }  # fmt: skip


def test_a_collapsed_trial_in_words(journal: Journal) -> None:
    assert in_words(journal.rows, "t000") == [
        "t000: method npo_rt, learning_rate 1.23e-05, forget_fraction 0.05",
        "epoch 1: went on; rung 1: best area 0.375 is rank 1 of 1; fewer than 3 stop nobody "
        "(utility_ratio 0.75 < floor 0.8, 1 of 2 reports)",
        "epoch 2: stopped; utility_ratio 0.41 < floor 0.8 for 2 reports in a row",
        "collapsed: utility_ratio 0.41 < floor 0.8 for 2 reports in a row",
    ]


def test_trials_that_have_not_ended(journal: Journal) -> None:
    assert in_words(journal.rows, "t001")[-1] == "still running"
    assert explain(journal.rows, "t001")["outcome"] is None
    assert "no report yet" in in_words(journal.rows, "t003")[-1]
    assert explain(journal.rows, "t003")["decisions"] == []


def test_an_unknown_trial(journal: Journal) -> None:
    with pytest.raises(UnknownTrial, match="did you mean"):
        explain(journal.rows, "t02")
