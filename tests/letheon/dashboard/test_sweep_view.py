"""The data of the pages: the numbers of the front, in every state of a sweep."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.analysis.importance import importance
from letheon.dashboard.growth import growth
from letheon.dashboard.sweep_view import card, sweep_view
from letheon.dashboard.trial_columns import trial_columns
from letheon.dashboard.trial_view import trial_view
from letheon.journal import UnknownTrial
from letheon.pareto.front import front_of, hypervolume_share
from letheon.pareto.objectives import Goals
from tests.letheon.dashboard.support import LITTLE, LongStory, Rows, record
from tests.letheon.tracking.tracking_support import Story, audited_story, story

GOALS = Goals()


def test_the_page_shows_the_numbers_of_the_front() -> None:
    view = sweep_view(record(story()))
    front = front_of(story())
    for stratum in view["strata"]:
        expected = front["strata"][stratum["key"]]
        assert [(p["trial"], p["epoch"]) for p in stratum["points"]] == [
            (p["trial"], p["epoch"]) for p in expected["points"]
        ]
        assert stratum["knee"] == [expected["knee"]["trial"], expected["knee"]["epoch"]]
    assert view["counts"] == {"completed": 1, "pruned": 1, "collapsed": 1, "failed": 1}
    assert [one["metric"] for one in view["objectives"]] == ["log10_forget_quality", "model_utility"]
    assert view["strata"][0]["target"] == [-12.0, 0.6] and view["strata"][0]["retain"] == [0.0, 0.61]
    assert {trial["id"]: trial["rank"] for trial in view["trials"]}["t000"] == 0
    assert view["ranks"] == [trial["rank"] for trial in view["trials"]]


@pytest.mark.parametrize("rows", LITTLE.values(), ids=LITTLE)
@pytest.mark.parametrize("more", [{}, {"spec": None}])
def test_sweeps_with_little_to_show_have_pages(rows: Rows, more: dict[str, Any]) -> None:
    known = record(rows, "running", **more)
    for view in (sweep_view(known), card(known), importance(known.rows, known.goals)):
        json.dumps(view, allow_nan=False)
    for trial in trial_columns(known.rows, known.goals):
        json.dumps(trial_view(known, trial["id"]), allow_nan=False)


@given(st.integers(0, 25))
@settings(max_examples=12, deadline=None)
def test_the_hypervolume_never_falls_and_ends_at_that_of_the_front(trials: int) -> None:
    rows = LongStory(trials).rows
    front = front_of(rows, goals=GOALS)
    for stratum, steps in growth(rows, GOALS).items():
        shares = [share for _, _, share in steps]
        assert shares == sorted(shares)
        assert [epochs for epochs, _, _ in steps] == sorted(epochs for epochs, _, _ in steps)
        assert shares[-1] == pytest.approx(hypervolume_share(front["strata"][stratum]), rel=1e-4)
        assert steps[-1][0] == sum(row["kind"] == "report" for row in rows)


def _graded(count: int) -> Story:
    """Trials whose forget quality depends on the learning rate only."""
    tale = Story()
    for number in range(count):
        rate = 10 ** (-5 + 2 * number / count)
        config = {"method": "ga", "forget_fraction": 0.1, "learning_rate": rate, "batch_size": [4, 8, 16][number % 3]}
        config |= {"weight_decay": 0.01, "beta": None if number % 2 else 0.1 * (1 + number % 5)}
        tale.add("trial", trial=f"t{number:03d}", stratum="0.1", config=config, baseline={})
        tale.report(f"t{number:03d}", 1, -12.0 + 12.0 * number / count, 0.59)
    return tale


def test_the_most_important_hyper_parameter_comes_first() -> None:
    [shares] = importance(_graded(60).rows, GOALS).values()
    assert shares[0]["name"] == "learning_rate"
    assert sum(one["share"] for one in shares) == pytest.approx(1.0, abs=0.01)
    assert "weight_decay" not in {one["name"] for one in shares}
    assert {one["name"]: one["trials"] for one in shares}["beta"] == 30


def test_hyper_parameters_searched_on_a_log_scale_are_drawn_on_one() -> None:
    assert sweep_view(record(story()))["log_scaled"] == ["beta", "learning_rate", "retain_weight"]
    assert sweep_view(record(story(), spec=None))["log_scaled"] is None


def test_a_trial_has_its_pull_command_or_why_it_has_none() -> None:
    known = record(story(), options=" --root /data")
    samples = {"epochs": {"0": [{"set": "forget", "prompt": "Who?", "answer": "A", "generated": "A"}]}}
    home = trial_view(known, "t000", samples)
    assert home["on_front"] == [1, 2, 3] and not home["why_not"]
    assert home["pull"][0]["command"] == (
        "letheon pull sweep --select t000@1 --fraction 0.05 --to ./sweep-t000-1 --root /data"
    )
    assert home["samples"]["0"][0]["prompt"] == "Who?"
    assert home["metrics"]["epochs"] == [0, 1, 2, 3]
    pruned = trial_view(known, "t001")
    assert not pruned["pull"] and pruned["why_not"] and pruned["reason"] == "rank 2 of 2 at rung 1"
    with pytest.raises(UnknownTrial):
        trial_view(known, "t999")


def test_audits_are_among_the_metrics_of_a_trial() -> None:
    table = trial_view(record(audited_story()), "t000")["metrics"]
    assert table["values"]["audit_worst_forget_rouge"] == [None, None, 0.4, None]


def test_names_with_spaces_are_quoted() -> None:
    [command, *_] = trial_view(record(story(), name="my sweep; rm -rf"), "t000")["pull"]
    assert "'my sweep; rm -rf'" in command["command"] and "'./my sweep; rm -rf-t000-1'" in command["command"]
