"""Reasons why a metric is absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from trainables.evaluation.logs.log import LEGACY, Log
from trainables.evaluation.logs.names import ATTACKS, MEMORISATION, TOFU_METRICS, UTILITY_PARTS, keys_of
from trainables.evaluation.logs.open_unlearning import is_muse

_MUSE_METRICS = (
    "forget_rouge",
    "forget_knowledge_rouge",
    "retain_rouge",
    *MEMORISATION,
    *(f"mia_{attack}" for attack in ATTACKS),
)
_NAN = "NaN, because one of its values is NaN"


def absent_metrics(log: Log, found: Mapping[str, float], stored: Mapping[str, float]) -> dict[str, str]:
    """Reason by metric, for the metrics that such a log usually has."""
    reasons = {name: _NAN for name, value in found.items() if math.isnan(value)}
    return reasons | {name: _reason(log, name, found, stored) for name in _usual(log) if name not in found}


def absent_comparisons(retain: Log, unlearned: Log, found: Mapping[str, float]) -> dict[str, str]:
    """Reason by metric, for the comparison of two logs."""

    def lacking(values: str, has: Callable[[Log], bool]) -> str:
        files = [log.file for log in (retain, unlearned) if not has(log)]
        return f"no {values} in {' and '.join(files or [retain.file])}"

    reasons = {name: _NAN for name, value in found.items() if math.isnan(value)}
    if "forget_quality" not in found:
        reasons["forget_quality"] = lacking("losses of paraphrased and wrong answers", _has_truth_ratios)
    if "privleak" not in found:
        reasons["privleak"] = lacking("scores of mia_min_k for forget and holdout rows", _has_min_k)
    return reasons


def _usual(log: Log) -> tuple[str, ...]:
    if log.own:
        return ()
    return _MUSE_METRICS if is_muse(log) else TOFU_METRICS


def _reason(log: Log, name: str, found: Mapping[str, float], stored: Mapping[str, float]) -> str:
    if name in stored:
        return "the log has its aggregate but no rows"
    if name == "model_utility":
        return f"needs {', '.join(part for part in UTILITY_PARTS if part not in found and part not in stored)}"
    if log.format == LEGACY and (name in MEMORISATION or name.startswith("mia_")):
        return "TOFU's older format does not have it"
    if log.format == LEGACY:
        return "the log lacks its measurements"
    choice = name.startswith(("real_authors", "world_facts"))
    return f"the log has no rows of {' or '.join(keys_of(name, choice, is_muse(log)))}"


def _has_truth_ratios(log: Log) -> bool:
    forget = log.sets.get("forget")
    return forget is not None and ("perturbed_losses" in forget.columns or "truth_ratio" in forget.columns)


def _has_min_k(log: Log) -> bool:
    return sum("attack:min_k" in of_set.columns for of_set in log.sets.values()) > 1
