"""open-unlearning's aggregates as pure float64 functions: memorisation, privacy, utility, and the three in one number.

All are harmonic means of parts in [0, 1], where 1 is ideal (arXiv 2506.12618, section 5). Their parts that exist
nowhere else are here too: the mean share of the truth (aggregator `prob_mean` of its truth ratio) and the closeness of
a membership AUC to the retain model's (s_MIA). NaN in, NaN out; loads no torch.

One part differs from the published one: utility takes the fluency of the forget answers from Letheon's own gibberish
measure, where open-unlearning asks a classifier that has to be downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from trainables.evaluation.metrics.tofu import harmonic_mean, probability, truth_ratio

MIA_ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus")
"""The attacks whose closeness makes up privacy."""

METRICS: dict[str, tuple[Literal["max", "min"], float, float, str]] = {
    "forget_paraphrase_probability": (
        "min",
        1.0,
        0.0,
        "mean of p(paraphrased answer | question)^(1 / tokens) over the forget rows",
    ),
    "forget_truth_share": (
        "min",
        1.0,
        0.0,
        "mean over the forget rows of p / (p + q), p the probability of the paraphrased answer and q the geometric "
        "mean of the wrong answers': 0.5 if truth and falsehood are equally likely (open-unlearning's truth ratio by "
        "prob_mean)",
    ),
    **{
        f"s_mia_{attack}": (
            "max",
            0.0,
            1.0,
            f"1 - |AUC - AUC of the retain model| / AUC of the retain model, not below 0, for mia_{attack}: 1 if "
            "membership shows as little as in the retain model, on either side",
        )
        for attack in MIA_ATTACKS
    },
    "memorisation_score": (
        "max",
        0.0,
        1.0,
        "harmonic mean of 1 - extraction_strength, 1 - exact_memorization, 1 - forget_paraphrase_probability and "
        "1 - forget_truth_share: 1 if nothing is memorised",
    ),
    "privacy_score": ("max", 0.0, 1.0, "harmonic mean of the four s_mia_…"),
    "utility_score": (
        "max",
        0.0,
        1.0,
        "harmonic mean of model_utility and 1 - forget_gibberish. open-unlearning takes the fluency from a classifier, "
        "so its value differs",
    ),
    "unlearning_score": (
        "max",
        0.0,
        1.0,
        "harmonic mean of memorisation_score, privacy_score and utility_score: one number to sort by, which hides what "
        "was lost for what",
    ),
}
"""(better, worst, best, meaning) by name; `worst` and `best` are the ends of the range that fronts are scaled to."""


def truth_share(paraphrase_loss: ArrayLike, perturbed_losses: ArrayLike, guard: float = 0.0) -> float:
    """Mean of p / (p + q + guard), p = exp(-loss of the truth), q = exp(-mean loss of the wrong answers).

    Losses in nats per token, (rows,) and (rows, k). open-unlearning's `guard` is 1e-10 (`src/evals/metrics/
    memorization.py`); 0 divides as logarithms, so the share of a destroyed model is that of its probabilities.
    """
    if not guard:
        return float((1.0 / (1.0 + truth_ratio(paraphrase_loss, perturbed_losses))).mean())
    truth = np.exp(-np.asarray(paraphrase_loss, dtype=np.float64))
    wrong = np.exp(-np.asarray(perturbed_losses, dtype=np.float64).mean(axis=1))
    return float((truth / (truth + wrong + guard)).mean())


def mia_closeness(auc: float, retain_auc: float) -> float:
    """s_MIA: 1 - |AUC - AUC of the retain model| / AUC of the retain model, clipped to [0, 1].

    If the retain model's AUC is 0, 1 for the same AUC and 0 for any other.
    """
    if math.isnan(auc) or math.isnan(retain_auc):
        return math.nan
    if retain_auc == 0.0:
        return float(auc == 0.0)
    return min(1.0, max(0.0, 1.0 - abs(auc - retain_auc) / retain_auc))


def memorisation_score(
    extraction_strength: float, exact_memorization: float, paraphrase_probability: float, share: float
) -> float:
    """Harmonic mean of 1 minus each; `share` as `truth_share` gives it."""
    return harmonic_mean([1 - extraction_strength, 1 - exact_memorization, 1 - paraphrase_probability, 1 - share])


def of_forget_rows(
    found: Mapping[str, float], paraphrase_loss: ArrayLike, perturbed_losses: ArrayLike, guard: float = 0.0
) -> dict[str, float]:
    """The aggregates of the forget rows. `found`: the metrics so far, with or without both memorisation metrics."""
    losses = np.asarray(paraphrase_loss, dtype=np.float64)
    values = {
        "forget_paraphrase_probability": float(probability(-losses, 1).mean()),
        "forget_truth_share": truth_share(losses, perturbed_losses, guard),
    }
    parts = [found.get(name) for name in ("extraction_strength", "exact_memorization")]
    parts += values.values()
    known = [part for part in parts if part is not None]
    return values | ({"memorisation_score": memorisation_score(*known)} if len(known) == len(parts) else {})


def of_utility(found: Mapping[str, float]) -> dict[str, float]:
    """`utility_score`, if its two parts were measured."""
    utility, gibberish = found.get("model_utility"), found.get("forget_gibberish")
    if utility is None or gibberish is None:
        return {}
    return {"utility_score": harmonic_mean([utility, 1 - gibberish])}


def against_retain_model(found: Mapping[str, float], retain_aucs: Mapping[str, float]) -> dict[str, float]:
    """`s_mia_<attack>` of the attacks that both models have, `privacy_score` if all four, and `unlearning_score`."""
    closeness = {
        f"s_mia_{attack}": mia_closeness(found[f"mia_{attack}"], retain_aucs[attack])
        for attack in MIA_ATTACKS
        if f"mia_{attack}" in found and attack in retain_aucs
    }
    if len(closeness) < len(MIA_ATTACKS):
        return closeness
    privacy = harmonic_mean([*closeness.values()])
    rest = [found.get("memorisation_score"), found.get("utility_score")]
    parts = [privacy, *(part for part in rest if part is not None)]
    whole = {"unlearning_score": harmonic_mean(parts)} if len(parts) == len(rest) + 1 else {}
    return {**closeness, "privacy_score": privacy, **whole}
