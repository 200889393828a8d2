"""Settings are strict, and their digests depend on values only."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainables.config import BenchmarkConfig, EvaluationConfig, Hyperparameters, WorkersConfig


def test_equal_settings_have_equal_digests_and_others_do_not() -> None:
    config = BenchmarkConfig(people=20, seed=1)
    assert config.digest() == BenchmarkConfig(seed=1, people=20, name="fictional").digest()
    assert config.digest() != BenchmarkConfig(people=20).digest()
    assert len(config.digest()) == 16


def test_the_default_of_a_later_setting_leaves_digests_as_they_were() -> None:
    assert "compat" not in EvaluationConfig().model_dump()
    assert EvaluationConfig(compat="open_unlearning").model_dump()["compat"] == "open_unlearning"


def test_unknown_keys_are_errors() -> None:
    with pytest.raises(ValidationError, match="peopel"):
        BenchmarkConfig.model_validate({"peopel": 4})


def test_null_in_an_older_journal_means_that_a_method_has_no_such_hyper_parameter() -> None:
    right = {"method": "npo", "forget_fraction": 0.1, "learning_rate": 1e-5}
    assert Hyperparameters(**right, beta=0.1, margin=None) == Hyperparameters(**right, beta=0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"beta": "high"}, {"beta": float("nan")}, {"learning_rate": float("nan")}, {"forget_fraction": 0.0}],
)
def test_values_out_of_range_are_errors(wrong: dict[str, Any]) -> None:
    right = {"method": "npo", "forget_fraction": 0.1, "learning_rate": 1e-5}
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Hyperparameters(**{**right, **wrong})


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        WorkersConfig().workers = 2


def test_the_zero_stage_is_read_from_deepspeeds_configuration() -> None:
    assert WorkersConfig().zero_stage == 0
    assert WorkersConfig(deepspeed={"zero_optimization": {"stage": 3}}).zero_stage == 3
    assert WorkersConfig(deepspeed={}).zero_stage == 0


def test_only_open_unlearnings_evaluation_guards_its_denominators() -> None:
    assert EvaluationConfig().guard == 0.0
    assert EvaluationConfig(compat="open_unlearning").guard == 1e-10
