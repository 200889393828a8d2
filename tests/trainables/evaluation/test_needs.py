"""What a metric is said to need is enough, and no part of it is too much; steps of an evaluation add up to a whole."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.trainables.evaluation.small import (
    ALL_SETTINGS,
    SETTINGS,
    TEMPLATE,
    CountedCalls,
    assert_same,
    examine,
    fresh_model,
    small_model,
    small_split,
    small_tokenizer,
)
from trainables.data.benchmarks.registry import EvalSet, Row
from trainables.evaluation.decoding import answers
from trainables.evaluation.evaluate import StagedEvaluation
from trainables.evaluation.metrics.catalog import metric_info
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference
from trainables.evaluation.needs import Needs, needs_of
from trainables.evaluation.scoring import gradient_norms, read
from trainables.evaluation.scoring.queries import EvalPart
from trainables.evaluation.two_stage import evaluate_in_stages
from trainables.runtime.ranks import Group

DECIDES = ("log10_forget_quality", "model_utility", "utility_ratio")
SEARCHED = ("forget", "retain", "real_authors", "world_facts")
RULER_SEED = 5


def parts_of(**names: Collection[str]) -> set[EvalPart]:
    """`scored`, `generated`, `norms`, `task`: names of sets."""
    return {EvalPart(kind, name) for kind, each in names.items() for name in each}  # type: ignore[arg-type]


@cache
def ruler() -> Evaluation:
    return examine(fresh_model(RULER_SEED), ALL_SETTINGS)


def compared(evaluation: Evaluation) -> dict[str, float]:
    return compare(evaluation, retain_reference(ruler().details), 0.9)


@cache
def whole() -> dict[str, float]:
    return compared(examine(small_model(), ALL_SETTINGS))


@cache
def needs(*metrics: str) -> Needs:
    return needs_of(small_split().evaluation, ALL_SETTINGS, metrics)


def examination(model: CountedCalls | None = None) -> StagedEvaluation:
    return StagedEvaluation(model or small_model(), small_tokenizer(), TEMPLATE, small_split(), ALL_SETTINGS, Group())


@cache
def measured(parts: frozenset[EvalPart]) -> dict[str, float]:
    some = examination()
    some.measure(parts)
    return compared(some.evaluation())


def test_every_metric_that_is_not_lost_has_its_value_from_what_another_is_said_to_need() -> None:
    for name in whole():
        found = needs(name)
        assert metric_info(name) is None or name not in found.lost
        there = {key: value for key, value in measured(found.parts).items() if key not in found.lost}
        there.pop("eval_seconds")
        assert there == pytest.approx({key: whole()[key] for key in there}, rel=1e-6, abs=1e-6)
        assert there.keys() | found.lost | {"eval_seconds"} == whole().keys()
    depths = {needs(name).parts for name in whole() if metric_info(name) is not None}
    assert len(depths) > 10, "metrics differ in what they need"
    assert any(len(parts) < len(examination().parts) / 3 for parts in depths)


def test_without_any_part_of_it_the_metric_is_another_or_none() -> None:
    for name in ("log10_forget_quality", "model_utility", "privleak_distance", "forget_rouge", "mia_gradnorm"):
        found = needs(name).parts
        for part in found:
            if part.kind == "scored" and any(other != part and other.name == part.name for other in found):
                continue  # the other one cannot be measured without it
            assert measured(found - {part}).get(name) != pytest.approx(whole()[name], rel=1e-9), (name, part)


def test_what_a_decision_by_the_usual_objectives_leaves_out() -> None:
    found = needs(*DECIDES)
    assert found.parts == parts_of(scored=SEARCHED, generated=SEARCHED[1:])
    assert {"forget_rouge", "forget_gibberish", "privleak", "mia_min_k", "mia_gradnorm"} <= found.lost
    assert found.lost.isdisjoint({"forget_probability", "extraction_strength", "retain_rouge", *DECIDES})


def test_objectives_of_other_sweeps_need_other_parts() -> None:
    assert needs("forget_rouge").parts == parts_of(scored=["forget"], generated=["forget"])
    assert needs("mia_gradnorm").parts == parts_of(scored=["forget", "holdout"], norms=["forget", "holdout"])
    with_tasks = SETTINGS.model_copy(update={"harness": ("mmlu", "arc")})
    assert needs_of(small_split().evaluation, with_tasks, ["harness_arc"]).parts == parts_of(task=["arc"])
    assert needs("loss", "train_seconds").parts == frozenset()


def test_sets_of_raw_text_with_members_of_their_own() -> None:
    text = (Row("", "once upon a time", raw=True),)
    sets = {
        "forget": EvalSet(text, role="forget", rouge="f1"),
        "retain": EvalSet((Row("Q:", " a", raw=True),), rouge="f1", stop="\n"),
        "members": EvalSet(text, role="members", generate=False),
        "holdout": EvalSet((Row("", "another text", raw=True),), role="holdout", generate=False),
    }

    def parts(*metrics: str) -> frozenset[EvalPart]:
        return needs_of(sets, SETTINGS, metrics).parts

    assert parts("log10_loss_quality") == parts_of(scored=["forget"])
    assert parts("model_utility") == parts_of(scored=["retain"], generated=["retain"])
    assert parts("privleak_distance") == parts_of(scored=["members", "holdout"])
    without = {name: rows for name, rows in sets.items() if name != "holdout"}
    assert needs_of(without, SETTINGS, ["privleak_distance"]).parts == frozenset(), "they cannot give it"


def test_two_steps_are_one_evaluation_and_measure_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    for module, name in ((read, "read_answers"), (answers, "answers"), (gradient_norms, "gradient_norms")):
        real = getattr(module, name)

        def noting(evaluated: Any, items: Any, *rest: Any, real: Any = real) -> Any:
            items = [*items]
            asked.extend((real.__name__, item) for item in dict.fromkeys(items))
            return real(evaluated, items, *rest)

        monkeypatch.setattr(module, name, noting)
    once, twice = examination(), examination()
    once.measure(once.parts)
    everything, asked[:] = [*asked], []
    twice.measure(needs(*DECIDES).parts)
    half = len(asked)
    twice.measure(twice.parts)
    assert_same(twice.evaluation(), once.evaluation(), 1e-6)
    assert sorted(asked) == sorted(everything)
    assert len({*asked}) == len(asked) > half
    twice.measure(twice.parts)
    assert len(asked) == len(everything), "all of it is there"


def test_only_what_goes_on_is_evaluated_whole() -> None:
    asked: list[dict[str, float]] = []

    def goes_on(metrics: dict[str, float]) -> bool:
        asked.append(metrics)
        return len(asked) == 1

    deep, samples = evaluate_in_stages(examination(), compared, needs(*DECIDES), goes_on)
    shallow, fewer = evaluate_in_stages(examination(), compared, needs(*DECIDES), goes_on)
    assert {**deep, "eval_seconds": 0.0} == pytest.approx({**whole(), "eval_seconds": 0.0}, rel=1e-6, abs=1e-6)
    assert shallow.keys() == deep.keys() - needs(*DECIDES).lost == asked[0].keys()
    assert {sample["set"] for sample in samples} == {"forget", "retain"}
    assert [sample for sample in samples if sample["set"] == "retain"] == fewer
    evaluate_in_stages(examination(), compared, None, goes_on)
    assert len(asked) == 2, "without needs nobody is asked"


def test_two_parts_that_stand_in_for_each_other_are_both_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables.evaluation import needs as module

    def either(details: dict[str, object], *_: object) -> dict[str, float]:
        there = [name for name in ("retain", "holdout") if details[name].loss is not None]  # type: ignore[attr-defined]
        return {"either": 1.0} if there else {}

    monkeypatch.setattr(module, "compare", either)
    sets = small_split().evaluation
    assert needs_of(sets, SETTINGS, ["either"]) == Needs(examination_parts(sets), frozenset())


def examination_parts(sets: object) -> frozenset[EvalPart]:
    split = replace(small_split(), evaluation=sets)  # type: ignore[arg-type]
    return StagedEvaluation(small_model(), small_tokenizer(), TEMPLATE, split, SETTINGS, Group()).parts
