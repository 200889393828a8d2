"""`evaluation.compat: open_unlearning` gives open-unlearning's numbers, row by row, to 1e-10; ours differ where we say.

The goldens (`tests/goldens/make_metrics.py`) are what its own evaluator wrote of small float64 models that know half of
their rows: padding that is hidden inside prompts, tails behind answers, several end tokens, an answer that loses its
first token to the prompt, texts with stray spaces, and models that are broken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from tests.goldens.metric_models import (
    FAMILIES,
    FOLDER,
    MAX_NEW_TOKENS,
    Family,
    Variant,
    load_model,
    load_tokenizer,
)
from trainables.config import EvaluationCompat, EvaluationConfig
from trainables.data.benchmarks.registry import EvalSet, Row, Split
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics.details import SetDetails
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference, truth_ratios
from trainables.model.cpu.patch import patch_for_cpu
from trainables.model.packed_attention import use_packed_attention
from trainables.runtime.ranks import Group

FOUND = json.loads((FOLDER / "metrics.json").read_text(encoding="utf-8"))
OPEN_UNLEARNING: EvaluationCompat = "open_unlearning"
SETS = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "gradnorm")
# Letheon's name: open-unlearning's.
METRICS = {
    "forget_quality": "forget_quality",
    "model_utility": "model_utility",
    "extraction_strength": "extraction_strength",
    "exact_memorization": "exact_memorization",
    "privleak": "privleak",
    "forget_probability": "forget_Q_A_Prob",
    "retain_probability": "retain_Q_A_Prob",
    "real_authors_probability": "ra_Q_A_Prob_normalised",
    "world_facts_probability": "wf_Q_A_Prob_normalised",
    "forget_truth_ratio": "forget_truth_ratio",
    **{f"{ours}_truth_ratio": f"{theirs}_Truth_Ratio" for ours, theirs in SETS.items() if ours != "forget"},
    **{f"{ours}_rouge": f"{theirs}_Q_A_ROUGE" for ours, theirs in SETS.items()},
    **{f"mia_{attack}": f"mia_{attack}" for attack in (*ATTACKS, "reference")},
}


class Case(NamedTuple):
    """`lean`: with Letheon's own layers, which read the tree of a batch's rows; else with the library's."""

    family: Family
    variant: Variant
    lean: bool


CASES = [
    *(Case(family, variant, lean=True) for family in FAMILIES for variant in ("memorised", "collapsed")),
    *(Case(family, "memorised", lean=False) for family in FAMILIES[:2]),
]


def name_of(case: Case) -> str:
    return f"{case.family.name}-{case.variant}-{'lean' if case.lean else 'plain'}"


def row_of(row: dict[str, Any]) -> Row:
    return Row(row["question"], row["answer"], row.get("paraphrased_answer"), tuple(row.get("perturbed_answer", ())))


@cache
def split() -> Split:
    rows = {name: tuple(map(row_of, of_set)) for name, of_set in FOUND["rows"].items()}
    sets = {
        "forget": EvalSet(rows["forget"], role="forget"),
        "retain": EvalSet(rows["retain"]),
        "real_authors": EvalSet(rows["real_authors"], multiple_choice=True),
        "world_facts": EvalSet(rows["world_facts"], multiple_choice=True),
        "holdout": EvalSet(rows["holdout"], role="holdout", generate=False),
    }
    return Split(0.5, rows["forget"], rows["retain"], sets)


@cache
def found_by(case: Case, compat: EvaluationCompat = OPEN_UNLEARNING) -> Evaluation:
    tokenizer = load_tokenizer(case.family.name)
    model = load_model(case.family, tokenizer, case.variant)
    if case.lean:
        assert use_packed_attention(model)
        assert patch_for_cpu(model) == {"norm", "gate", "attention", "layer"}
    settings = settings_of(compat)
    return evaluate(model, tokenizer, case.family.template, split(), settings, Group())


def settings_of(compat: EvaluationCompat) -> EvaluationConfig:
    return EvaluationConfig(max_new_tokens=MAX_NEW_TOKENS, gradient_norm=True, compat=compat)


def metrics_of(case: Case, compat: EvaluationCompat = OPEN_UNLEARNING) -> dict[str, float]:
    """With what needs the retain model."""
    guard = settings_of(compat).guard
    ruler = retain_reference(found_by(Case(case.family, "retain", lean=True), compat).details, guard)
    return compare(found_by(case, compat), ruler, guard=guard)


def golden(case: Case, metric: str) -> dict[str, Any]:
    return dict(FOUND["families"][case.family.name][case.variant][metric])


def same(ours: Any, theirs: Any) -> bool:
    """Equal to 1e-10 of their size, number by number."""
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return math.isclose(ours, theirs, rel_tol=1e-10, abs_tol=1e-13)


def rows_with_both(of_set: SetDetails, case: Case, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """What, ours, theirs: of all rows of a set."""
    yield "loss", of_set.loss, golden(case, f"{prefix}_Q_A_Prob")["avg_loss"]
    yield "perturbed losses", of_set.perturbed_losses, golden(case, f"{prefix}_Q_A_PERT_Prob")["avg_loss"]
    if of_set.paraphrase_loss is not None:
        yield "paraphrase loss", of_set.paraphrase_loss, golden(case, f"{prefix}_Q_A_PARA_Prob")["avg_loss"]
    written = golden(case, f"{prefix}_Q_A_ROUGE")
    yield "ROUGE-1 recall", of_set.rouge_1_recall, written["rouge1_recall"]
    yield "ROUGE-L recall", of_set.rouge_l_recall, written["rougeL_recall"]
    yield "ROUGE-L F1", of_set.rouge_l_f1, written["rougeL_f1"]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_metrics(case: Case) -> None:
    ours = metrics_of(case)
    wrong = {
        name: (ours[name], golden(case, theirs)["value"])
        for name, theirs in METRICS.items()
        if not same(ours[name], golden(case, theirs)["value"])
    }
    assert not wrong


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_rows(case: Case) -> None:
    details = found_by(case).details
    for ours, theirs in SETS.items():
        assert details[ours].generated == golden(case, f"{theirs}_Q_A_ROUGE")["generation"]
        for what, found, expected in rows_with_both(details[ours], case, theirs):
            assert same(found, expected), (ours, what)
    for what in ("extraction_strength", "exact_memorization"):
        assert same(getattr(details["forget"], what), golden(case, what)["score"])
    for attack in ATTACKS:
        for part in ("forget", "holdout"):
            assert same(details[part].attacks[attack], golden(case, f"mia_{attack}")[part]), (attack, part)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_the_retain_model_s_log_is_used_for(family: Family) -> None:
    case = Case(family, "retain", lean=True)
    found = found_by(case)
    assert same(truth_ratios(found.details["forget"], 1e-10), golden(case, "forget_truth_ratio")["score"])
    assert same(found.metrics["mia_min_k"], golden(case, "mia_min_k")["value"])


# ---- without compat: how far ours are from theirs, and why (docs/metrics.md)

DEFAULTS = {
    # Same tokens, nothing hidden: only answers of which nothing is extracted differ.
    ("llama2", "memorised"): {"extraction_strength": (0.5395, 0.5626), "forget_probability": (0.5129, 0.5129)},
    # Without the 1e-10 the truth ratios of a broken model are those of its probabilities.
    ("llama2", "collapsed"): {"forget_truth_ratio": (0.0312, 0.0), "retain_truth_ratio": (0.5038, 0.9999)},
    # Ends of turns in the prompt are seen; generate() would move the positions of all that follows a hidden one.
    ("llama3", "memorised"): {"forget_probability": (0.4586, 0.4632), "forget_rouge": (0.7131, 0.2068)},
    ("smollm2", "memorised"): {"forget_probability": (0.4857, 0.5203), "forget_rouge": (0.6904, 0.4601)},
    # The answer ends with the end of its turn; what the chat format has behind it is not scored.
    ("qwen25", "memorised"): {"forget_probability": (0.5092, 0.5182), "exact_memorization": (0.7605, 0.7864)},
    # The first token of an answer is the answer's.
    ("phi15", "memorised"): {"forget_probability": (0.2607, 0.5146), "exact_memorization": (0.6374, 0.7605)},
}
ALL_WRITTEN_ALIKE = {"llama2": True, "llama3": False, "smollm2": False, "qwen25": True, "phi15": True}


@pytest.mark.parametrize(("key", "expected"), DEFAULTS.items(), ids="-".join)
def test_ours_differ_as_documented(key: tuple[str, Variant], expected: dict[str, tuple[float, float]]) -> None:
    family = next(family for family in FAMILIES if family.name == key[0])
    case = Case(family, key[1], lean=True)
    ours = found_by(case, "none").metrics
    pairs = {name: (ours[name], golden(case, METRICS[name])["value"]) for name in expected}
    assert pairs == {name: pytest.approx(both, abs=2e-4) for name, both in expected.items()}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_whose_texts_differ(family: Family) -> None:
    case = Case(family, "memorised", lean=True)
    ours, theirs = found_by(case, "none").details["forget"].generated, golden(case, "forget_Q_A_ROUGE")["generation"]
    assert ours is not None
    differ = sum(text != other for text, other in zip(ours, theirs, strict=True))
    assert differ == 0 if ALL_WRITTEN_ALIKE[family.name] else differ > len(theirs) / 2


def test_where_nothing_is_hidden_or_tiny_all_else_is_theirs_without_compat_too() -> None:
    """Both code bases read the same tokens for llama2; a guard of 1e-10 shows in the seventh digit at most.

    One answer has a stray space, which open-unlearning's decoder takes out before it compares.
    """
    case = Case(FAMILIES[0], "memorised", lean=True)
    ours = metrics_of(case, "none")
    apart = {
        name
        for name, theirs in METRICS.items()
        if not math.isclose(ours[name], golden(case, theirs)["value"], rel_tol=1e-6)
    }
    assert apart == {"extraction_strength", "forget_rouge"}
