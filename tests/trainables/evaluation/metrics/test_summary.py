"""Metrics from rows by hand: which are there for which data, and what they compare."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from trainables.data.rows import Role
from trainables.evaluation.metrics.details import SetDetails
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference, summarise

MIA = ("loss", "zlib", "min_k", "min_k_plus_plus")
ROWS = 4


def some_set(role: Role, seed: int, multiple_choice: bool = False) -> SetDetails:
    draw = np.random.default_rng(seed)

    def numbers(*shape: int) -> list[Any]:
        values: list[Any] = draw.uniform(0.1, 1.0, shape or ROWS).tolist()
        return values

    return SetDetails(
        role=role,
        multiple_choice=multiple_choice,
        loss=numbers(),
        tokens=[3, 4, 5, 6],
        paraphrase_loss=None if multiple_choice else numbers(),
        perturbed_losses=numbers(ROWS, 3),
        rouge_1_recall=numbers(),
        rouge_l_recall=numbers(),
        rouge_l_f1=numbers(),
        generated=["She was born in the town."] * ROWS,
        extraction_strength=numbers() if role == "forget" else None,
        exact_memorization=numbers() if role == "forget" else None,
        attacks={attack: numbers() for attack in MIA} if role in ("forget", "holdout") else {},
    )


def everything(seed: int = 0) -> dict[str, SetDetails]:
    return {
        "forget": some_set("forget", seed),
        "retain": some_set("utility", seed + 1),
        "real_authors": some_set("utility", seed + 2, multiple_choice=True),
        "world_facts": some_set("utility", seed + 3, multiple_choice=True),
        "holdout": replace(some_set("holdout", seed + 4), rouge_l_recall=None, rouge_l_f1=None, generated=None),
    }


def numbers_of(values: Any) -> np.ndarray[Any, Any]:
    return np.asarray(values, dtype=np.float64)


PARTS = ("probability", "rouge", "truth_ratio")


def without(of_set: SetDetails, *fields: str) -> SetDetails:
    return replace(of_set, **dict.fromkeys(fields))  # type: ignore[arg-type]


def test_what_the_data_cannot_support_is_absent() -> None:
    """A user's rows: no wrong answers, no paraphrase, no holdout, no facts."""
    details = {
        name: without(of_set, "perturbed_losses", "paraphrase_loss")
        for name, of_set in everything().items()
        if name in ("forget", "retain")
    }
    found = summarise(details)
    absent = ("truth_ratio", "mia", "real_authors", "holdout")
    assert not [name for name in found if any(word in name for word in absent)]
    parts = [found["retain_probability"], found["retain_rouge"]]
    assert found["model_utility"] == pytest.approx(2 / sum(1 / part for part in parts))
    compared = compare(details, retain_reference(details), None)
    losses = {"loss_quality", "log10_loss_quality", "loss_ks_distance", "loss_shift"}
    writing = {"stammer_excess", "gibberish_excess", "length_excess"}
    assert compared.keys() - found.keys() == losses | writing


def test_without_utility_sets_there_is_no_utility() -> None:
    only = {"forget": some_set("forget", 0)}
    assert "model_utility" not in compare(only, retain_reference(only), 0.9)
    assert "utility_ratio" not in compare(only, retain_reference(only), 0.9)


def test_sets_of_other_benchmarks_are_the_utility_where_tofus_are_not_all_there() -> None:
    details = everything()
    del details["world_facts"]
    details["poems"] = without(some_set("utility", 9), "loss", "perturbed_losses", "paraphrase_loss")
    found = summarise(details)
    parts = [found[f"{name}_{part}"] for name in ("retain", "real_authors") for part in PARTS] + [found["poems_rouge"]]
    assert found["model_utility"] == pytest.approx(len(parts) / sum(1 / part for part in parts))


def test_members_take_the_forget_sets_part() -> None:
    details = everything() | {"members": replace(some_set("members", 7), attacks={"min_k": [0.0] * ROWS})}
    assert {name for name in summarise(details) if name.startswith("mia_")} == {"mia_min_k"}
    assert summarise(details)["mia_min_k"] == 1.0


def test_losses_compared_by_hand() -> None:
    mine, theirs = everything(0), everything(50)
    marks = json.loads(json.dumps(retain_reference(theirs)))
    found = compare(mine, marks, target_utility=0.5)
    test = ks_2samp(mine["forget"].loss, theirs["forget"].loss)
    assert (found["loss_quality"], found["loss_ks_distance"]) == pytest.approx((test.pvalue, test.statistic))


def test_compare_with_oneself() -> None:
    details = everything()
    evaluation = Evaluation(summarise(details) | {"eval_seconds": 1.0}, details, [])
    found = compare(evaluation, retain_reference(details), evaluation.metrics["model_utility"])
    assert (found["forget_quality"], found["ks_distance"], found["loss_quality"]) == (1.0, 0.0, 1.0)
    assert (found["mia_reference"], found["privleak"], found["utility_ratio"]) == (0.5, 0.0, 1.0)
    assert found["eval_seconds"] == 1.0
    assert evaluation.metrics.items() <= found.items()


@pytest.mark.parametrize("mark", ["truth_ratios", "losses", "member_losses", "holdout_losses"])
def test_another_number_of_rows_is_refused(mark: str) -> None:
    marks = retain_reference(everything())
    with pytest.raises(ValueError, match="one split"):
        compare(everything(), marks | {mark: marks[mark][:-1]}, 0.5)


@given(st.sampled_from(["forget", "holdout", "retain"]), st.integers(0, ROWS - 1))
def test_one_nan_row_makes_its_metrics_nan(name: str, row: int) -> None:
    details = everything()
    losses = list(details[name].loss or ())
    losses[row] = math.nan
    details[name] = replace(details[name], loss=losses)
    found = compare(details, retain_reference(everything()), 0.5)
    assert math.isnan(found[f"{name}_probability"])
    assert math.isnan(found["model_utility"]) == (name == "retain")
    assert math.isnan(found["forget_repetition"]) == (name == "forget")
    assert math.isnan(found["mia_reference"]) == (name in ("forget", "holdout"))
