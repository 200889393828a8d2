"""The adapter of the lm-evaluation-harness: a task of our own on a tiny model where it is installed, else a refusal."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.harness import harness_metrics, main_metric

HERE = importlib.util.find_spec("lm_eval") is not None
TASK = """\
task: own_choice
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
output_type: multiple_choice
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: label
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def test_the_headline_is_the_normalised_accuracy_then_the_accuracy_then_what_there_is() -> None:
    both = {"alias": "x", "acc,none": 0.25, "acc_stderr,none": 0.1, "acc_norm,none": 0.5}
    assert main_metric(both) == 0.5
    assert main_metric({"acc,none": 0.25, "acc_stderr,none": "N/A"}) == 0.25
    assert main_metric({"exact_match,strict-match": 0.1, "exact_match,flexible-extract": 0.2}) == 0.1
    assert main_metric({"own,none": 3}) == 3.0
    assert math.isnan(main_metric({"alias": "x"}))


def test_no_tasks_need_no_harness() -> None:
    assert harness_metrics(None, None, ()) == {}


@pytest.mark.skipif(HERE, reason="lm_eval is installed")
def test_without_the_harness_the_extra_is_named() -> None:
    with pytest.raises(ValueError, match=r"not installed .* install letheon\[harness\] or remove harness"):
        harness_metrics(None, None, ("arc_easy",))


@pytest.mark.skipif(not HERE, reason="lm_eval is not installed")
def test_a_task_is_run_on_the_loaded_model(tmp_path: Path) -> None:
    import torch

    from trainables.model.load import texts_of, tiny_model, tiny_tokenizer

    rows = load_benchmark(BenchmarkConfig(people=2)).general[:12]
    data = tmp_path / "test.jsonl"
    docs = [{"question": row.question, "choices": [row.answer, *row.perturbed_answers], "label": 0} for row in rows]
    data.write_text("\n".join(map(json.dumps, docs)))
    (tmp_path / "own.yaml").write_text(TASK % data)
    tokenizer = tiny_tokenizer(texts_of(list(rows)))
    model: Any = tiny_model(tokenizer, 0)
    model.eval()
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(tmp_path), include_defaults=False)
    torch.manual_seed(5)
    random.seed(5)
    before = (torch.get_rng_state(), random.getstate())
    found = harness_metrics(model, tokenizer, ("own_choice",), task_manager=manager)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert set(found) == {"harness_own_choice"} and 0 <= found["harness_own_choice"] <= 1
    assert harness_metrics(model, tokenizer, ("own_choice",), task_manager=manager) == found
    with pytest.raises(ValueError, match="no_such_task"):
        harness_metrics(model, tokenizer, ("no_such_task",), task_manager=manager)
