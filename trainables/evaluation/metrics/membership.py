"""Membership inference: can training data be told from a model's scores? Pure float64 functions.

An attack gives each row a score, lower for data that the model knows (sign and definitions of open-unlearning,
`src/evals/metrics/mia`).
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike

_TINY = 1e-10  # open-unlearning adds it to the denominator of its published PrivLeak values


def auc(members: ArrayLike, others: ArrayLike) -> float:
    """Probability that a member has the lower score, ties count half: 0.5 is guessing. NaN for NaN scores.

    Raises ValueError without members or without others.
    """
    inside, outside = np.asarray(members, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if not inside.size or not outside.size:
        raise ValueError(f"{inside.size} members and {outside.size} others: an AUC needs one of each, evaluate both")
    if np.isnan(inside).any() or np.isnan(outside).any():
        return float("nan")
    _, group, sizes = np.unique(np.concatenate([inside, outside]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]  # from 1, ties share their mean rank
    above = ranks[inside.size :].sum() - outside.size * (outside.size + 1) / 2
    return float(above / (inside.size * outside.size))


def lowest_mean(values: ArrayLike, share: float) -> float:
    """Minus the mean of the lowest `share` of the values, and at least one value: min-k of token log-probabilities
    (arXiv 2310.16789), min-k++ of normalised ones (arXiv 2404.02936). 0 without values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))  # NaN goes to the end
    if not ordered.size:
        return 0.0
    if np.isnan(ordered[-1]):
        return float("nan")
    return float(-ordered[: max(1, int(ordered.size * share))].mean())


def zlib_score(loss: float, text: str) -> float:
    """Mean loss over the length of the compressed text (bytes), since plain text is likely without being known."""
    return loss / len(zlib.compress(text.encode("utf-8", errors="replace")))


def privleak(members_auc: float, retain_model_auc: float) -> float:
    """PrivLeak, percent (MUSE, arXiv 2407.06460): 1 - AUC relative to that of a model that never saw the members.

    0 is perfect, -100 not forgotten at all, above 0 over-forgotten.
    """
    reference = 1.0 - retain_model_auc
    return (1.0 - members_auc - reference) / (reference + _TINY) * 100.0
