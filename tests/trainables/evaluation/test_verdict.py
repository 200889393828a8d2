"""Verdicts: on both sides of the retain model, and on nothing but what was measured."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.config import VerdictConfig
from trainables.evaluation.verdict import NAMES, ceilings, verdict

LIMITS = VerdictConfig()
TARGET = {"forget_quality": 1e-12, "utility_ratio": 1.0}
GOOD: dict[str, Any] = {
    "forget_quality": 0.3,
    "utility_ratio": 0.97,
    "privleak": -11.0,
    "loss_shift": 0.1,
    "stammer_excess": 0.05,
    "gibberish_excess": 0.02,
    "length_excess": 0.1,
}


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({}, "forgotten", "p = 0.3, 97% of the utility"),
        ({"forget_quality": 0.04}, "not forgotten", "p = 0.04 (needs > 0.05)"),
        ({"privleak": -80.0}, "not forgotten", "membership inference still detects it (PrivLeak -80%)"),
        ({"loss_shift": -0.9}, "not forgotten", "its losses are below the retain model's (shift -0.90)"),
        ({"privleak": 217.0}, "over-forgotten", "its losses are too high compared with unseen text (PrivLeak +217%)"),
        ({"loss_shift": 1.0}, "over-forgotten", "its losses are above the retain model's (shift +1.00)"),
        ({"stammer_excess": 0.96}, "over-forgotten", "its answers repeat themselves (+0.96 repeated word pairs)"),
        ({"gibberish_excess": 0.7}, "over-forgotten", "its answers are gibberish (+0.70)"),
        ({"length_excess": 3.0}, "over-forgotten", "its answers differ in length (log ratio 3.00)"),
        ({"utility_ratio": 0.5}, "damaged", "50% of the utility is left (needs 80%)"),
        ({"utility_ratio": math.nan}, "damaged", "its utility is not a number (needs 80%)"),
        ({"forget_quality": math.nan}, "cannot say", "no metric compares it with a retain model"),
        ({"audit_worst_forget_rouge_excess": 0.3}, "not forgotten", "an attack recovers 30% more of it"),
    ],
)
def test_each_side_by_itself(changes: dict[str, float], name: str, reason: str) -> None:
    found = verdict(GOOD | changes, TARGET, LIMITS)
    assert found.name == name
    assert found.reasons[0].startswith(reason)
    assert str(found).startswith(f"{name}: ")


def test_a_high_p_of_a_model_that_repeats_one_word_is_no_forgetting() -> None:
    found = verdict(GOOD | {"forget_quality": 0.7, "stammer_excess": 0.96, "loss_shift": 1.0}, TARGET, LIMITS)
    assert (found.name, len(found.reasons)) == ("over-forgotten", 2)


def test_nothing_is_said_of_a_model_whose_utility_was_not_measured() -> None:
    found = verdict({"forget_quality": 0.3}, TARGET, LIMITS)
    assert (found.name, found.reasons) == ("cannot say", ("utility was not measured",))


def test_too_few_rows_to_tell_the_target_model_say_nothing() -> None:
    found = verdict(GOOD, {"forget_quality": 0.1}, LIMITS)
    assert found.name == "cannot say" and "too few rows" in found.reasons[0]


def test_losses_serve_where_there_are_no_wrong_answers() -> None:
    losses = {"loss_quality": 0.3, "utility_ratio": 0.9}
    assert verdict(losses, {"loss_quality": 1e-9}, LIMITS).name == "forgotten"
    assert verdict({"log10_loss_quality": -3.0, "utility_ratio": 0.9}, {}, LIMITS).name == "not forgotten"


VALUES = st.floats(-2, 3) | st.just(math.nan) | st.none()
METRICS = st.dictionaries(st.sampled_from(sorted(GOOD)), VALUES)


@given(METRICS, METRICS)
def test_every_model_gets_a_verdict_with_a_reason(metrics: dict[str, Any], target: dict[str, Any]) -> None:
    found = verdict(metrics, target, LIMITS)
    assert found.name in NAMES and all(found.reasons) and found.reasons


@given(METRICS, st.sampled_from([ceiling.metric for ceiling in ceilings(LIMITS)]), st.floats(0, 500))
def test_more_of_what_shows_never_makes_it_forgotten(metrics: dict[str, Any], name: str, more: float) -> None:
    value = metrics.get(name)
    worse = {**metrics, name: (0.0 if value is None or math.isnan(value) else max(value, 0.0)) + more}
    if verdict(worse, TARGET, LIMITS).name == "forgotten":
        assert verdict({**worse, name: 0.0}, TARGET, LIMITS).name == "forgotten"
