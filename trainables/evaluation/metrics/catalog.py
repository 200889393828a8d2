"""Every metric that an evaluation can report: its meaning, its better direction, its range. Loads no torch.

A sweep may optimise or constrain the metrics of this catalog; any other metric can only be recorded.
`docs/metrics.md` is generated from it (`python -m trainables.evaluation.metrics.catalog_page`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainables.evaluation.metrics.aggregates import METRICS as AGGREGATES
from trainables.evaluation.metrics.synthetic import METRICS as SYNTHETIC


@dataclass(frozen=True)
class MetricInfo:
    """`worst`, `best`: the ends of the range that fronts are scaled to; a clip for an unbounded metric.

    `ratio_to_target`: the worst end is a share of the target model's value instead (utility's floor).
    """

    better: Literal["max", "min"]
    worst: float
    best: float
    text: str
    ratio_to_target: bool = False


def _up(text: str, worst: float = 0.0, best: float = 1.0, ratio_to_target: bool = False) -> MetricInfo:
    return MetricInfo("max", worst, best, text, ratio_to_target)


def _down(text: str, worst: float = 1.0, best: float = 0.0) -> MetricInfo:
    return MetricInfo("min", worst, best, text)


_FORGETTING = {
    "forget_quality": _up(
        "p-value of the two-sided Kolmogorov-Smirnov test between the truth ratios of the forget rows and those of the "
        "retain model: near 1, the forget rows look as if never learned. It depends on the number of rows"
    ),
    "log10_forget_quality": _up("log10 of forget_quality, not below -20", worst=-20.0, best=0.0),
    "ks_distance": _down("the statistic D of that test: the largest gap between the two distribution functions"),
    "loss_quality": _up(
        "the same test between the losses of the forget answers: for data without wrong answers, so no truth ratios"
    ),
    "log10_loss_quality": _up("log10 of loss_quality, not below -20", worst=-20.0, best=0.0),
    "loss_ks_distance": _down("the statistic D of the test on losses"),
    "forget_probability": _down("mean of p(answer | question)^(1 / tokens) over the forget rows"),
    "forget_rouge": _down("mean ROUGE-L recall (F1 if the benchmark says so) of greedy answers to forgotten questions"),
    "forget_truth_ratio": _up(
        "mean of min(R, 1 / R), R the geometric mean of the wrong answers' probabilities over the paraphrased answer's "
        "(the answer's if there is no paraphrase): 1 if truth and falsehood are equally likely"
    ),
    "extraction_strength": _down(
        "mean over the forget rows of 1 - k / n: how early the rest of the answer (n tokens) is the likeliest "
        "continuation (from token k on). 0 if nothing matches, where open-unlearning's code gives 1 / n"
    ),
    "exact_memorization": _down(
        "mean share of the forget answers' tokens that are the likeliest, without end of sequence"
    ),
}

_MEMBERSHIP = {
    "mia_loss": "by the loss",
    "mia_zlib": "by the loss over the compressed length of the text",
    "mia_min_k": "by the mean of the least likely tokens (`evaluation.min_k` of them, 0.4 by default)",
    "mia_min_k_plus_plus": "by the same, each token's log-probability normalised over the vocabulary first",
    "mia_gradnorm": "by the mean over parameter tensors of the gradient's L2 norm (if `evaluation.gradient_norm`)",
    "mia_reference": "by the loss minus the retain model's",
}

_UTILITY = {
    "model_utility": _up(
        "harmonic mean of probability, ROUGE-L recall and truth ratio score of the retain set, real authors and world "
        "facts (TOFU's nine), or of what the utility sets of another benchmark support. Its range on a front goes from "
        "the utility floor to the target model's value",
        ratio_to_target=True,
    ),
    "utility_ratio": _up("model_utility over the target model's"),
    "retain_extraction_strength": _up("extraction strength of the retain set"),
    "retain_exact_memorization": _up("exact memorization of the retain set"),
}

_DEGENERATION = {
    "forget_repetition": _down(
        "mean share of four-word runs in an answer to a forgotten question that occurred earlier in that answer"
    ),
    "forget_gibberish": _down(
        "mean share of words in such an answer that are out of place in English: letters that rarely follow each "
        "other, signs that prose does not have, or no common word among the nine around. Below 0.1 for English with "
        "foreign names, about 0.7 for random tokens"
    ),
    "stammer_excess": _down(
        "mean share of two-word runs in an answer to a forgotten question that occurred earlier in that answer, minus "
        "the retain model's"
    ),
    "gibberish_excess": _down("forget_gibberish minus the retain model's"),
    "length_excess": _down(
        "how far the answers' length is from the retain model's: the absolute logarithm of the ratio of their words",
        worst=3.0,
    ),
}

CATALOG: dict[str, MetricInfo] = {
    **_FORGETTING,
    **{name: _down(f"membership inference, AUC: {text}", best=0.5) for name, text in _MEMBERSHIP.items()},
    "privleak_distance": _down("the absolute value of privleak, percent", worst=100.0),
    **_UTILITY,
    **_DEGENERATION,
    "audit_worst_forget_rouge": _down("the largest forget_rouge under any attack of the audit"),
    "audit_worst_forget_rouge_excess": _down("the largest excess over the retain model under the same attack"),
    "probe_worst_forget_rouge": _down("the largest forget_rouge under any attack of the probe"),
    **{name: MetricInfo(*facts) for name, facts in (AGGREGATES | SYNTHETIC).items()},
}
"""Metrics with a fixed name. `metric_info` also finds those named after a set, a task or an attack."""

FAMILIES: dict[str, MetricInfo] = {
    "audit_<attack>_forget_rouge": _down("forget_rouge under an attack"),
    "audit_<attack>_forget_probability": _down("forget_probability under an attack"),
    "audit_<attack>_extraction_strength": _down("extraction strength of the forget set under an attack"),
    "audit_<attack>_forget_rouge_excess": _down("the same ROUGE minus the retain model's under the same attack"),
    "probe_<attack>_forget_rouge": _down(
        "forget_rouge under an attack of `scheduler.probe`, at the rungs of a trial: as audit_<attack>_forget_rouge, "
        "with the probe's rows and steps"
    ),
    "probe_<attack>_forget_probability": _down("forget_probability under such an attack"),
    "probe_<attack>_extraction_strength": _down("extraction strength of the forget set under such an attack"),
    "harness_<task>": _up("lm-evaluation-harness: the main metric of a task of `evaluation.harness`"),
    "forget_<set>_probability": _down("as forget_probability, for another set that must be forgotten"),
    "forget_<set>_rouge": _down("as forget_rouge, for such a set"),
    "forget_<set>_truth_ratio": _up("as forget_truth_ratio, for such a set"),
    "forget_<set>_extraction_strength": _down("as extraction_strength, for such a set"),
    "forget_<set>_exact_memorization": _down("as exact_memorization, for such a set"),
    "<set>_probability": _up(
        "mean of p(answer | question)^(1 / tokens) over the rows of a utility set; in a multiple-choice set "
        "(real_authors, world_facts) the answer's share of the probabilities of all choices"
    ),
    "<set>_rouge": _up("mean ROUGE-L recall (F1 if the benchmark says so) of greedy answers in a utility set"),
    "<set>_truth_ratio": _up("mean of max(0, 1 - R) over a utility set, R as in forget_truth_ratio"),
}
"""`<…>` stands for a name of small letters, digits and underscores. The first pattern that matches counts."""

RECORDED: dict[str, str] = {
    "loss_shift": (
        "over all pairs of a forget loss of this model and one of the retain model: the share in which this model's is "
        "larger, minus the share in which it is smaller. 0 is ideal, -1 still known, 1 over-forgotten"
    ),
    "privleak": (
        "PrivLeak, percent: ((1 - AUC) - (1 - AUC of the retain model)) / (1 - AUC of the retain model), AUC by min-k: "
        "0 is ideal, -100 not forgotten, above 0 over-forgotten. Search on privleak_distance"
    ),
    "holdout_…, members_…": (
        "probability, ROUGE, extraction strength and exact memorization of the sets of membership inference"
    ),
    "epoch, step": "progress of the trial: epochs, and optimizer steps in total",
    "loss, forget_loss, retain_loss": "means over the optimizer steps of the epoch, as trained on",
    "learning_rate": "at the last step",
    "multiplier": "the retain weight after the epoch, if the method changes it",
    "train_seconds": "training time, without evaluation",
    "tokens_per_second": "forget, retain and alternative rows over all workers, without padding",
    "peak_memory_bytes": (
        "peak memory of any worker since the trial began: tensors on a GPU; on a CPU the whole process, including some "
        "hundred MiB of libraries and of models that stay loaded between trials (since the worker began if the system "
        "does not let the peak be reset)"
    ),
    "predicted_memory_bytes": (
        "prediction for the worker with the largest micro-batch: weights, gradients, optimizer, a frozen copy, and the "
        "larger of activations and evaluation; without libraries"
    ),
    "eval_seconds": "evaluation time of the slowest worker",
    "probe_seconds": "time of the probe of the slowest worker, at epochs that are probed",
}
"""Reported, but without a better direction, so no sweep can search on them."""

_PATTERNS = {
    re.compile(re.sub("<[a-z]+>", "([a-z0-9][a-z0-9_]*)", family)): (family, info) for family, info in FAMILIES.items()
}
_NOT_UTILITY = ("holdout", "members")
_ATTACKED = ("audit_", "probe_")


def metric_info(name: str) -> MetricInfo | None:
    """The metric of that name; None if no sweep can search on it."""
    if name in CATALOG:
        return CATALOG[name]
    for pattern, (family, info) in _PATTERNS.items():
        found = pattern.fullmatch(name)
        if found and found[1] not in _NOT_UTILITY and _attacked(name) == _attacked(family):
            return replace(info, text=f"{info.text} ({found[1]})")
    return None


def _attacked(name: str) -> str | None:
    """Whether it is measured under attack, and by whom: nobody else measures such a metric."""
    return next((prefix for prefix in _ATTACKED if name.startswith(prefix)), None)


def number(metrics: Mapping[str, Any], name: str) -> float:
    """A metric as a float; NaN if missing or null."""
    value = metrics.get(name)
    return math.nan if value is None else float(value)
