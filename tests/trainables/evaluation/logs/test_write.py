"""What is written comes back: a log of a live evaluation gives the numbers of that evaluation."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from tests.trainables.evaluation.small import examine, fresh_model, small_model, small_split
from tests.trainables.evaluation.small_logs import Model
from trainables.evaluation.logs.adapt import adapt
from trainables.evaluation.logs.compare import compare_logs
from trainables.evaluation.logs.read import parse_log
from trainables.evaluation.logs.write import open_unlearning_log
from trainables.evaluation.metrics.details import SetDetails
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference

RECORDED = ("forget_quality", "log10_forget_quality", "ks_distance", "loss_quality", "privleak", "mia_reference")


@cache
def both() -> tuple[Evaluation, Evaluation]:
    """Evaluations of an untrained model, in place of the retain model, and of one that knows half."""
    return examine(fresh_model()), examine(small_model())


def written(evaluation: Evaluation, metrics: dict[str, float] | None = None) -> Any:
    log = open_unlearning_log(evaluation.details, metrics or evaluation.metrics, small_split().evaluation)
    return json.loads(json.dumps(log, sort_keys=True))


def test_two_written_logs_give_the_recorded_comparison() -> None:
    retain, knowing = both()
    recorded = compare(knowing, retain_reference(retain.details))
    report = compare_logs(
        parse_log(written(retain), "retain.json"), parse_log(written(knowing, recorded), "knowing.json")
    )
    for name in RECORDED:
        if name in recorded:
            assert report["comparison"][name] == pytest.approx(recorded[name], rel=1e-9), name
    assert report["comparison"]["forget_quality"] == recorded["forget_quality"]
    assert report["stored"]["forget_quality"] == recorded["forget_quality"]


def test_metrics_of_a_written_log_are_those_of_the_evaluation() -> None:
    knowing = both()[1]
    report = compare_logs(*(parse_log(written(each), "log.json") for each in both()))
    found = report["unlearned"]
    expected = {name: value for name, value in knowing.metrics.items() if name != "eval_seconds"}
    assert {name: found["metrics"][name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert found["differs"] == []
    assert found["notes"] == []


def test_members_and_sets_of_other_benchmarks() -> None:
    details = {
        "forget": SetDetails("forget", rouge="f1", rouge_l_f1=[0.5, 0.25], loss=[1.0, 2.0]),
        "forget_knowledge": SetDetails("forget", rouge="f1", rouge_l_f1=[0.5, 0.75, 0.25]),
        "poems": SetDetails("utility", loss=[0.1, 0.2], rouge_l_recall=[1.0, 0.5]),
        "members": SetDetails("members", loss=[0.1, 0.7], attacks={"min_k": [0.2, 0.9]}),
        "holdout": SetDetails("holdout", loss=[0.5, 0.6], attacks={"min_k": [0.5, 0.6]}),
    }
    others = {**details, "members": replace(details["members"], attacks={"min_k": [0.55, 0.9]}, loss=[0.3, 0.9])}
    recorded = compare(details, retain_reference(others))
    logs = [json.loads(json.dumps(open_unlearning_log(each))) for each in (others, details)]
    report = compare_logs(*(parse_log(log, "log.json") for log in logs))
    assert report["comparison"]["privleak"] == pytest.approx(recorded["privleak"])
    assert report["comparison"]["mia_reference"] == recorded["mia_reference"]
    assert report["unlearned"]["metrics"]["poems_rouge"] == 0.75
    assert report["unlearned"]["metrics"]["model_utility"] == pytest.approx(recorded["model_utility"])


def test_a_lost_model_is_nan_and_comes_back_so() -> None:
    lost = fresh_model()
    with torch.no_grad():
        lost.model.norm.weight.fill_(math.nan)
    report = compare_logs(parse_log(written(both()[0]), "retain.json"), parse_log(written(examine(lost)), "lost.json"))
    assert math.isnan(report["comparison"]["forget_quality"])
    assert math.isnan(report["unlearned"]["metrics"]["model_utility"])


def test_a_published_log_written_again_says_the_same() -> None:
    """Its guard is in the losses by then, so that nothing is added twice."""
    logs = [parse_log(Model(seed, knows).open_unlearning(), "log.json") for seed, knows in ((1, 0.1), (2, 0.9))]
    again = [parse_log(json.loads(json.dumps(open_unlearning_log(adapt(log).details))), "again.json") for log in logs]
    first, second = compare_logs(*logs), compare_logs(*again)
    assert second["comparison"]["forget_quality"] == first["comparison"]["forget_quality"]
    assert second["unlearned"]["metrics"]["model_utility"] == pytest.approx(
        first["unlearned"]["metrics"]["model_utility"], rel=1e-9
    )
