"""TOFU's metrics as pure float64 functions of per-row values.

The definitions are those of the code behind the published numbers (arXiv 2401.06121, `evaluate_util.py`,
`aggregate_eval_stat.py`). Its truth ratio takes the geometric mean over the wrong answers, where the paper's equation
has the arithmetic mean. A loss is the mean negative log-likelihood per token in nats, end of sequence included. NaN in,
NaN out.

`guard`: open-unlearning adds 1e-10 to denominators, which changes the ratios of a destroyed model; 0 divides exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LOG10_FLOOR = -20.0
"""Below 1e-20 a p-value means "certainly different", and its size depends on the number of rows only."""

_LARGEST_LOG = 700.0  # exp(700) is finite in float64: ratios stay finite, and valid JSON, for destroyed models


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def probability(log_prob_sum: ArrayLike, tokens: ArrayLike) -> Floats:
    """(rows,) p(answer | question)^(1 / tokens), from log p(answer | question) and the answer's token count."""
    return np.exp(_floats(log_prob_sum) / _floats(tokens))


def choice_probability(answer_loss: ArrayLike, perturbed_losses: ArrayLike, guard: float = 0.0) -> Floats:
    """(rows,) the answer's share of the length-normalised probabilities of all choices: the answer's loss (rows,) and
    those of the wrong answers (rows, k).
    """
    if guard:
        right, wrong = np.exp(-_floats(answer_loss)), np.exp(-_floats(perturbed_losses)).sum(axis=1)
        return np.asarray(right / (right + wrong + guard))
    answer = _floats(answer_loss)[:, None]
    # A softmax relative to the answer avoids 0 / 0 where every probability underflows.
    relative = np.clip(answer - _floats(perturbed_losses), -_LARGEST_LOG, _LARGEST_LOG)
    return np.asarray(1.0 / (1.0 + np.exp(relative).sum(axis=1)))


def truth_ratio(paraphrase_loss: ArrayLike, perturbed_losses: ArrayLike, guard: float = 0.0) -> Floats:
    """(rows,) geometric mean of the wrong answers' probabilities over the paraphrased answer's, from losses (rows, k)
    and (rows,).

    Above 1 the model prefers wrong answers. Clipped to exp(-700) and exp(700).
    """
    if guard:
        wrong = np.exp(-_floats(perturbed_losses).mean(axis=1))
        return np.asarray(wrong / (np.exp(-_floats(paraphrase_loss)) + guard))
    log_ratio = _floats(paraphrase_loss) - _floats(perturbed_losses).mean(axis=1)
    return np.asarray(np.exp(np.clip(log_ratio, -_LARGEST_LOG, _LARGEST_LOG)))


def truth_ratio_score(ratios: ArrayLike) -> float:
    """Mean of max(0, 1 - ratio): how clearly the truth is preferred, for data that the model should know."""
    return float(np.maximum(0.0, 1.0 - _floats(ratios)).mean())


def forget_truth_ratio_score(ratios: ArrayLike, guard: float = 0.0) -> float:
    """Mean of min(ratio, 1 / ratio): 1 where truth and falsehood are equally likely, for data to forget."""
    values = _floats(ratios)
    return float(np.minimum(values, 1.0 / (values + guard)).mean())


def harmonic_mean(parts: Sequence[float]) -> float:
    """Harmonic mean of parts between 0 and 1; 0 if any is 0. Raises ValueError without parts or for a negative one."""
    values = _floats(parts)
    if not values.size:
        raise ValueError("0 parts: a harmonic mean needs at least one, pass the metrics of a set")
    if (values < 0).any():
        raise ValueError(
            f"{values.min()} is negative: the parts of model utility lie between 0 and 1, check the metrics"
        )
    if np.isnan(values).any():
        return math.nan
    return float(values.size / (1.0 / values).sum()) if values.all() else 0.0


def forget_quality(truth_ratios: ArrayLike, retain_model_truth_ratios: ArrayLike) -> float:
    """p-value of the two-sided two-sample Kolmogorov-Smirnov test between truth ratios of unlearned and retain model.

    Near 1, the truth ratios look like those of a model that never saw the forget set. The test's power depends on the
    number of rows, so compare equal row counts only. Raises ValueError for an empty sample.
    """
    return _kolmogorov_smirnov(truth_ratios, retain_model_truth_ratios)[1]


def ks_distance(values: ArrayLike, retain_model_values: ArrayLike) -> float:
    """The test's statistic D: the largest distance between the two distribution functions, in [0, 1]."""
    return _kolmogorov_smirnov(values, retain_model_values)[0]


def _kolmogorov_smirnov(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """(D, p)."""
    from scipy.stats import ks_2samp  # takes half a second, which commands without a test do not need

    ours, theirs = _floats(first), _floats(second)
    if not ours.size or not theirs.size:
        raise ValueError(f"{ours.size} and {theirs.size} values: the test needs two samples; evaluate both models")
    if np.isnan(ours).any() or np.isnan(theirs).any():
        return math.nan, math.nan
    found = ks_2samp(ours, theirs)
    return float(found.statistic), float(found.pvalue)


def log10_forget_quality(p: float) -> float:
    """log10 of a forget quality, not below `LOG10_FLOOR`."""
    if p <= 0.0:
        return LOG10_FLOOR
    return max(LOG10_FLOOR, math.log10(p)) if not math.isnan(p) else math.nan
