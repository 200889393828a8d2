"""What an evaluation must not depend on, and what it refuses. Its numbers: `test_golden_metrics`."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
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
from trainables.config import EvaluationConfig
from trainables.data.benchmarks.registry import EvalSet, Row
from trainables.data.tokenization import encode
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics.details import SetDetails
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine


@cache
def examined() -> Evaluation:
    return examine(small_model())


@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_batch_size_does_not_matter(batch_tokens: int) -> None:
    settings = EvaluationConfig(max_new_tokens=SETTINGS.max_new_tokens, batch_tokens=batch_tokens)
    assert_same(examine(small_model(), settings), examined())


def test_every_question_is_read_once_and_every_answer_scored_once() -> None:
    model = CountedCalls(small_model())
    evaluate(model, small_tokenizer(), TEMPLATE, small_split(), SETTINGS, Group())
    wanted = {
        encode(TEMPLATE, small_tokenizer(), row.question, answer)
        for rows in small_split().evaluation.values()
        for row in rows.rows
        for answer in (row.answer, row.paraphrased_answer or row.answer, *row.perturbed_answers)
    }
    assert sorted(model.prompts) == sorted({row.input_ids[: row.answer_start - 1] for row in wanted})
    assert sorted(model.scored) == sorted(row.input_ids[row.answer_start - 1 : -1] for row in wanted)


def evaluated(sharded: bool, group: Group, folder: Path) -> None:
    """What one of two processes finds. `sharded`: under ZeRO-3, without norms of gradients."""
    model: Any = fresh_model()
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    if sharded:
        model = Engine(model, tiny.workers(3, size=group.size), group, weight_decay=0.0).model
    calls, settings = CountedCalls(model), SETTINGS if sharded else ALL_SETTINGS
    found = evaluate(calls, small_tokenizer(), TEMPLATE, small_split(), settings, group)
    (folder / f"rank{group.rank}.json").write_text(json.dumps({"found": asdict(found), "calls": calls.calls}))


@pytest.mark.parametrize("sharded", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_ranks_find_what_one_finds(tmp_path: Path, sharded: bool) -> None:
    torch.save(small_model().state_dict(), tmp_path / "weights.pt")
    tiny.spawned(partial(evaluated, sharded), tmp_path, sizes=(2,))
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second, "results and forward passes must be the same on both ranks"
    alone = examine(small_model(), SETTINGS if sharded else ALL_SETTINGS)
    found = first["found"]
    details = {name: SetDetails(**of_set) for name, of_set in found["details"].items()}
    assert_same(Evaluation(**{**found, "details": details}), alone)


def test_a_model_in_training_is_evaluated_in_evaluation_mode_and_given_back() -> None:
    model = CountedCalls(fresh_model())
    model.train()
    evaluate(model, small_tokenizer(), TEMPLATE, small_split(), SETTINGS, Group())
    assert model.modes == {False}
    assert model.model.training


def test_nan_weights_give_nan_metrics_at_once() -> None:
    model = fresh_model()
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    calls = CountedCalls(model)
    found = evaluate(calls, small_tokenizer(), TEMPLATE, small_split(), SETTINGS, Group())
    assert found.metrics.keys() == examined().metrics.keys()
    assert all(math.isnan(value) for key, value in found.metrics.items() if key != "eval_seconds")
    assert calls.decoded == 0, "a model without a distribution is not asked to generate"
    compared = compare(found, retain_reference(examined().details), 0.9)
    assert compared.keys() == compare(examined(), retain_reference(examined().details), 0.9).keys()
    assert all(math.isnan(value) for key, value in compared.items() if key != "eval_seconds")


def test_tasks_of_the_harness_are_run_on_sound_models_only() -> None:
    settings = SETTINGS.model_copy(update={"harness": ("mmlu",)})
    lost = fresh_model()
    with torch.no_grad():
        lost.model.norm.weight.fill_(math.nan)
    assert math.isnan(examine(lost, settings).metrics["harness_mmlu"])
    if importlib.util.find_spec("lm_eval") is None:
        with pytest.raises(ValueError, match=r"letheon\[harness\]"):
            examine(small_model(), settings)


@pytest.mark.parametrize("wrong", [((), ("a",)), (("a",), ("a", "b"))])
def test_a_set_without_equally_many_wrong_answers_is_refused(wrong: tuple[tuple[str, ...], ...]) -> None:
    rows = tuple(Row(f"q{i}", "a", None, answers) for i, answers in enumerate(wrong))
    split = replace(small_split(), evaluation={**small_split().evaluation, "world_facts": EvalSet(rows, True)})
    with pytest.raises(ValueError, match="world_facts"):
        evaluate(small_model(), small_tokenizer(), TEMPLATE, split, SETTINGS, Group())


def test_an_empty_set_is_refused() -> None:
    split = replace(small_split(), evaluation={**small_split().evaluation, "retain": EvalSet(())})
    with pytest.raises(ValueError, match="retain has 0 rows"):
        evaluate(small_model(), small_tokenizer(), TEMPLATE, split, SETTINGS, Group())
