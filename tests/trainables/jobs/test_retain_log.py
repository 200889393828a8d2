"""A log in place of a retain model gives the numbers of the model itself, or says what is wrong with it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.evaluation.small import examine, fresh_model, small_model, small_split
from trainables.evaluation.logs.log import LogError
from trainables.evaluation.logs.write import open_unlearning_log
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference
from trainables.jobs.retain_log import log_note, missing_metrics, read_retain_log

QUALITY = {"forget_quality", "log10_forget_quality", "ks_distance"}


@cache
def retain() -> Evaluation:
    """The evaluation of a model that never saw the forget rows."""
    return examine(fresh_model())


def log() -> Any:
    """As `letheon evaluate --out` writes it, without the key that open-unlearning's own logs lack."""
    written = open_unlearning_log(retain().details, retain().metrics, small_split().evaluation)
    return {key: entry for key, entry in json.loads(json.dumps(written)).items() if key != "letheon"}


def in_file(folder: Path, content: Any) -> Path:
    (folder / "TOFU_EVAL.json").write_text(json.dumps(content))
    return folder / "TOFU_EVAL.json"


def test_comparisons_are_those_with_the_model_itself(tmp_path: Path) -> None:
    """Whatever the order of the rows in the file."""
    content, knowing = log(), examine(small_model())
    for entry in content.values():
        if "value_by_index" in entry:
            rows = list(entry["value_by_index"].items())
            random.Random(0).shuffle(rows)
            entry["value_by_index"] = dict(rows)
    details = read_retain_log(in_file(tmp_path, content), small_split())
    found, exact = (compare(knowing, retain_reference(each)) for each in (details, retain().details))
    assert found == pytest.approx(exact, rel=1e-12)
    assert found.keys() >= QUALITY and found["forget_quality"] == exact["forget_quality"]
    assert QUALITY.isdisjoint(missing_metrics(details))


def test_truth_ratios_alone_are_enough_for_forget_quality_and_the_rest_is_named(tmp_path: Path) -> None:
    content = {"forget_truth_ratio": log()["forget_truth_ratio"]}
    details = read_retain_log(in_file(tmp_path, content), small_split())
    found, exact = (compare(examine(small_model()), retain_reference(each)) for each in (details, retain().details))
    assert found["forget_quality"] == exact["forget_quality"]
    assert {"loss_quality", "stammer_excess", "privleak", "mia_reference"} <= set(missing_metrics(details))
    assert "not available: loss_quality, " in log_note(details)


def drop_rows(content: Any) -> None:
    for entry in content.values():
        for rows in (entry.get("value_by_index") or {},):
            rows.pop("0", None)


def swap(content: Any) -> None:
    rows = content["forget_Q_A_ROUGE"]["value_by_index"]
    rows["0"], rows["1"] = rows["1"], rows["0"]


def other_answer(content: Any) -> None:
    content["forget_Q_A_ROUGE"]["value_by_index"]["1"]["ground_truth"] = "Nobody knows."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_rows, "instead of rows 0 to"),
        (swap, "row 0 does not ask "),
        (other_answer, "row 1 is answered 'nobody knows' instead of"),
        (lambda content: content.pop("forget_Q_A_ROUGE") and content.update(retain_truth_ratio={}), ""),
    ],
)
def test_other_rows_are_refused_with_what_differs(
    tmp_path: Path, change: Callable[[Any], object], message: str
) -> None:
    content = log()
    change(content)
    file = in_file(tmp_path, content)
    if not message:
        read_retain_log(file, small_split())  # without texts only the number of rows can be checked
        return
    with pytest.raises(LogError) as caught:
        read_retain_log(file, small_split())
    text = str(caught.value)
    assert message in text and "give the log of the retain model of this fraction" in text
    assert "\n" not in text


def test_a_log_without_forget_rows_is_refused(tmp_path: Path) -> None:
    content = {"retain_Q_A_Prob": log()["retain_Q_A_Prob"]}
    with pytest.raises(LogError, match="no losses or truth ratios of forget rows"):
        read_retain_log(in_file(tmp_path, content), small_split())
