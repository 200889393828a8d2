"""The decision in a trial's configuration, and that with it every front checkpoint gets a full evaluation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from letheon.pareto.front import front_of, nearest_rows, reports_by_stratum
from letheon.pareto.objectives import Axis, Goals, Limit
from letheon.preparation.layout import layout
from letheon.schedulers.config import SchedulerConfig
from letheon.spec.load import load_spec
from letheon.sweep.trial_config import decision, decision_config, trial_config
from tests.letheon.analysis.test_why_not import AUDITS, GOALS, METRICS, REPORTS, journal, names
from tests.letheon.small_sweep import SPACE, sample, write_space
from trainables.config import DecisionConfig, LimitConfig, TrialConfig
from trainables.evaluation.candidates import constrained_point, is_candidate

SCHEDULER = SchedulerConfig()


def trials_decision(goals: Goals) -> DecisionConfig:
    """As a trial gets it, through JSON."""
    return DecisionConfig.model_validate_json(decision(SCHEDULER, goals).model_dump_json())


def candidates(reports: dict[tuple[str, int], Any], goals: Goals) -> set[tuple[str, int]]:
    """The candidates (trial, epoch), decided after every epoch, trial by trial."""
    rule = trials_decision(goals)

    def earlier(trial: str, epoch: int) -> list[Any]:
        return [metrics for (name, one), metrics in reports.items() if name == trial and one < epoch]

    return {
        (trial, epoch)
        for (trial, epoch), metrics in reports.items()
        if is_candidate(rule, earlier(trial, epoch), metrics)
    }


@given(REPORTS, AUDITS, GOALS)
def test_every_front_point_was_a_candidate_in_its_trial(
    reports: dict[Any, Any], audits: dict[Any, Any], goals: Goals
) -> None:
    found = candidates(reports, goals)
    assert names(journal(reports, {}), goals) <= found
    assert names(journal(reports, audits), goals) <= found, "audits choose among the points of the search"


@given(REPORTS, GOALS)
def test_without_a_feasible_point_the_nearest_one_was_a_candidate(reports: dict[Any, Any], goals: Goals) -> None:
    found, seen = candidates(reports, goals), goals.search_goals
    for rows in reports_by_stratum(journal(reports, {})).values():
        if front_of(journal(reports, {}), goals=seen)["strata"] and (nearest := nearest_rows(rows, seen)):
            least = seen.violation(nearest[0]["metrics"])
            assert any(
                (row["trial"], row["epoch"]) in found and seen.violation(row["metrics"]) == least for row in rows
            )


@given(METRICS, GOALS)
def test_a_trial_measures_by_the_sweeps_own_goals(metrics: dict[str, float], goals: Goals) -> None:
    seen = goals.search_goals
    place = constrained_point(trials_decision(goals), metrics)
    finite = all(map(math.isfinite, seen.objectives(metrics)))
    assert (place is not None) == finite
    if place is not None:
        assert place.objectives == seen.objectives(metrics)
        assert place.violation == seen.violation(metrics)


@given(st.lists(METRICS, min_size=1, max_size=6), GOALS)
def test_later_epochs_change_nothing(reports: list[dict[str, float]], goals: Goals) -> None:
    """So a trial that continues elsewhere from its recorded epochs decides the same."""
    rule = trials_decision(goals)
    assert [is_candidate(rule, reports[:i], one) for i, one in enumerate(reports)] == [
        ("t000", i) in candidates({("t000", i): one for i, one in enumerate(reports)}, goals)
        for i in range(len(reports))
    ]


def test_an_infeasible_epoch_keeps_no_feasible_one_from_the_front() -> None:
    goals = Goals(x=Axis("a"), y=Axis("b"), limits=(Limit("c", high=1.0),))
    rule = trials_decision(goals)
    better_but_broken = {"a": 9.0, "b": 9.0, "c": 1.5, "utility_ratio": 1.0}
    below_the_floor = {"a": 9.0, "b": 9.0, "c": 0.0, "utility_ratio": 0.79}
    sound = {"a": 1.0, "b": 1.0, "c": 1.0, "utility_ratio": 0.8}
    assert is_candidate(rule, [better_but_broken, below_the_floor], sound)
    assert not is_candidate(rule, [sound], better_but_broken)
    assert not is_candidate(rule, [sound, sound], {**sound, "a": 0.9})
    assert is_candidate(rule, [sound, sound], sound), "an equal point may replace it"
    assert is_candidate(rule, [sound], {**sound, "a": 0.9, "b": 1.1})
    assert not is_candidate(rule, [], {**sound, "a": math.nan})
    assert is_candidate(rule, [{**sound, "a": math.inf}], sound), "a point that is not finite dominates nothing"


def test_a_decision_has_the_metrics_of_scheduler_and_goals() -> None:
    goals = Goals(limits=(Limit("forget_rouge", high=0.4, scale=2.0), Limit("audit_d", high=0.1)))
    assert decision(SCHEDULER, goals) == DecisionConfig(
        full=True,
        metrics=("log10_forget_quality", "utility_ratio", "model_utility", "forget_rouge"),
        objectives=(("log10_forget_quality", "max"), ("model_utility", "max")),
        limits=(LimitConfig(metric="forget_rouge", high=0.4, scale=2.0),),
        floor=0.8,
    )
    by_one = SchedulerConfig(name="asha", metric="extraction_strength", mode="min")
    assert "extraction_strength" in decision(by_one, goals).metrics


def test_a_trial_knows_when_and_how_it_is_probed(tmp_path: Path) -> None:
    third = "objectives={log10_forget_quality: max, model_utility: max, probe_rtn4_forget_rouge: min}"
    probe = "scheduler={max_epochs: 4, reduction_factor: 2, probe: {attacks: [rtn4]}}"
    spec = load_spec(write_space(tmp_path), [third, probe])
    config = trial_config(spec, layout(spec, tmp_path), "t000", sample(spec, 0), tmp_path / "t000")
    assert config.probe is not None and config.decision is not None
    assert (config.probe.epochs, config.probe.recipe) == ((1, 2, 4), spec.model.recipe)
    assert "probe_rtn4_forget_rouge" in config.probe.metrics
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config
    found = {"log10_forget_quality": -1.0, "model_utility": 0.5, "utility_ratio": 1.0}
    assert not is_candidate(config.decision, [], found)  # not probed: no weights are kept
    assert is_candidate(config.decision, [], {**found, "probe_rtn4_forget_rouge": 0.5})
    plain = load_spec(write_space(tmp_path))
    unprobed = trial_config(plain, layout(plain, tmp_path), "t000", sample(plain, 0), tmp_path / "t000")
    assert unprobed.probe is None and "probe" not in unprobed.model_dump(mode="json")


@pytest.mark.parametrize(
    ("overrides", "full"),
    [
        ([], True),
        (["scheduler.evaluate=full"], True),
        (["scheduler.evaluate=decision"], False),
        (["scheduler.evaluate=decision", "seeds=[0, 1]"], None),
    ],
)
def test_the_sweep_file_sets_the_depth_of_evaluations(tmp_path: Path, overrides: list[str], full: bool | None) -> None:
    spec = load_spec(write_space(tmp_path), overrides)
    config = trial_config(spec, layout(spec, tmp_path), "t000", sample(spec, 0), tmp_path / "t000")
    assert config.decision == decision_config(spec)
    assert (config.decision and config.decision.full) == full
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config


def test_the_synthetic_experiment_gets_full_evaluations(tmp_path: Path) -> None:
    spec = load_spec("npo_synthetic", ["scheduler.evaluate=decision"])
    assert decision_config(spec) is None


def test_baselines_are_the_same_whatever_the_depth(tmp_path: Path) -> None:
    content = yaml.safe_load(SPACE)
    keys = []
    for depth in ("full", "decision"):
        content["scheduler"]["evaluate"] = depth
        spec = load_spec(write_space(tmp_path, yaml.safe_dump(content)))
        keys.append([artifact.key for artifact in layout(spec, tmp_path).baseline.values()])
    assert keys[0] == keys[1]
