"""Evaluates a model on a split: TOFU's metrics of every set, from one teacher-forced pass and one of generation.

Knows sets and metrics; how the passes are batched and shared out is in `passes`, what metrics are is in `metrics`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from trainables.config import EvaluationConfig
from trainables.data.rows import EvalSet, Row, Split
from trainables.evaluation import metrics
from trainables.evaluation.passes import Examinee, Pair, answer_losses, answers
from trainables.group import Group

UTILITY_SETS = ("retain", "real_authors", "world_facts")
SETS = ("forget", *UTILITY_SETS)
_SAMPLED_SETS = ("forget", "retain")
_SAMPLES = 4


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found, as plain values that JSON can hold (NaN as Python writes it).

    `metrics`: `model_utility`, `eval_seconds` and, for each of `SETS`, `<set>_probability`, `<set>_rouge`,
    `<set>_truth_ratio` (retain side: mean max(0, 1 - TR); forget: mean min(TR, 1 / TR)). `truth_ratios`: the forget
    rows', in their order. `samples`: the first rows of forget and retain set: set, question, answer, generated.
    """

    metrics: dict[str, float]
    truth_ratios: Sequence[float]
    samples: Sequence[dict[str, str]]


@dataclass(frozen=True)
class _Findings:
    """One set: float64 values by row, NaN where the model gives no distribution, and the generated answers."""

    probabilities: NDArray[np.float64]
    truth_ratios: NDArray[np.float64]
    rouge: NDArray[np.float64]
    generated: tuple[str, ...]


def evaluate(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    split: Split,
    settings: EvaluationConfig,
    group: Group,
) -> Evaluation:
    """Metrics of `model` on `split`; all ranks of `group` call it together and get the same result.

    Every (question, answer) is scored once whatever it is used for. NaN weights give NaN metrics. The model is put in
    evaluation mode for the time. Raises ValueError for a set that is empty or lacks the wrong answers of truth ratios.
    """
    start = time.perf_counter()
    sets = {name: split.evaluation[name] for name in SETS}
    for name, rows in sets.items():
        _check(name, rows)
    pairs = [pair for rows in sets.values() for row in rows.rows for pair in _pairs_of(row)]
    training = model.training
    model.eval()
    try:
        examinee = Examinee(model, tokenizer, template, settings, group)
        losses = answer_losses(examinee, pairs)
        generated = answers(examinee, _answerable(sets, losses))
    finally:
        model.train(training)
    findings = {name: _find(rows, losses, generated) for name, rows in sets.items()}
    return Evaluation(
        metrics=_metrics(findings) | {"eval_seconds": _slowest(group, time.perf_counter() - start)},
        truth_ratios=tuple(findings["forget"].truth_ratios.tolist()),
        samples=list(_samples(sets, findings)),
    )


def compare(evaluation: Evaluation, retain_truth_ratios: Sequence[float], target_utility: float) -> dict[str, float]:
    """The evaluation's metrics with those that need other models.

    `forget_quality` and `log10_forget_quality` against the retain model's truth ratios of the same forget rows,
    `utility_ratio` over the target model's utility. Raises ValueError if the row counts differ.
    """
    ours, theirs = len(evaluation.truth_ratios), len(retain_truth_ratios)
    if ours != theirs:
        raise ValueError(
            f"{theirs} truth ratios of the retain model for {ours} forget rows: evaluate both on the same split"
        )
    quality = metrics.forget_quality(evaluation.truth_ratios, retain_truth_ratios)
    utility = evaluation.metrics["model_utility"]
    return evaluation.metrics | {
        "forget_quality": quality,
        "log10_forget_quality": metrics.log10_forget_quality(quality),
        "utility_ratio": utility / target_utility if target_utility > 0 else math.nan,
    }


def _paraphrase(row: Row) -> str:
    """TOFU's facts have no paraphrased answer: the answer stands in."""
    return row.answer if row.paraphrased_answer is None else row.paraphrased_answer


def _check(name: str, rows: EvalSet) -> None:
    counts = sorted({len(row.perturbed_answers) for row in rows.rows})
    if len(counts) != 1 or counts[0] == 0:
        raise ValueError(
            f"evaluation set {name}: {counts} perturbed answers a row; truth ratios need equally many, one at least, "
            "in every row: correct the data"
        )


def _pairs_of(row: Row) -> Iterator[Pair]:
    for answer in (row.answer, _paraphrase(row), *row.perturbed_answers):
        yield row.question, answer


def _answerable(sets: Mapping[str, EvalSet], losses: Mapping[Pair, float]) -> Iterator[str]:
    """Questions worth a generation: a NaN model would only be waited for, token by token, to its longest answer."""
    for rows in sets.values():
        yield from (row.question for row in rows.rows if not math.isnan(losses[row.question, row.answer]))


def _find(rows: EvalSet, losses: Mapping[Pair, float], generated: Mapping[str, str]) -> _Findings:
    answer = np.array([losses[row.question, row.answer] for row in rows.rows])
    paraphrase = np.array([losses[row.question, _paraphrase(row)] for row in rows.rows])
    perturbed = np.array([[losses[row.question, wrong] for wrong in row.perturbed_answers] for row in rows.rows])
    texts = tuple(generated.get(row.question, "") for row in rows.rows)
    recalls = [metrics.rouge_l_recall(row.answer, text) for row, text in zip(rows.rows, texts, strict=True)]
    return _Findings(
        probabilities=(
            metrics.choice_probability(answer, perturbed) if rows.multiple_choice else metrics.probability(-answer, 1)
        ),
        truth_ratios=metrics.truth_ratio(paraphrase, perturbed),
        rouge=np.where(np.isnan(answer), np.nan, recalls),
        generated=texts,
    )


def _metrics(findings: Mapping[str, _Findings]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, of_set in findings.items():
        score = metrics.forget_truth_ratio_score if name == "forget" else metrics.truth_ratio_score
        found[f"{name}_probability"] = float(of_set.probabilities.mean())
        found[f"{name}_rouge"] = float(of_set.rouge.mean())
        found[f"{name}_truth_ratio"] = score(of_set.truth_ratios)
    parts = [found[f"{name}_{kind}"] for name in UTILITY_SETS for kind in ("probability", "rouge", "truth_ratio")]
    return {"model_utility": metrics.model_utility(parts)} | found


def _samples(sets: Mapping[str, EvalSet], findings: Mapping[str, _Findings]) -> Iterator[dict[str, str]]:
    for name in _SAMPLED_SETS:
        for row, text in list(zip(sets[name].rows, findings[name].generated, strict=True))[:_SAMPLES]:
            yield {"set": name, "question": row.question, "answer": row.answer, "generated": text}


def _slowest(group: Group, seconds: float) -> float:
    return max(group.gather([seconds]))
