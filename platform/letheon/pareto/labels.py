"""Which metrics and hyper-parameters of a front are shown, and their labels. Pure; computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from letheon.common.numbers import three_digits

DEFAULT: Mapping[str, str] = {"log10_forget_quality": "max", "model_utility": "max"}
COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "log10_forget_quality": ("forget_quality",),
    "log10_loss_quality": ("loss_quality",),
    "model_utility": ("utility_ratio",),
}
"""The same value in other units, shown next to it."""
HEADLINES = ("audit_worst_forget_rouge",)

COMMON = ("seed", "forget_fraction", "batch_size", "warmup_epochs", "weight_decay")
"""Hyper-parameters that every method has; they distinguish the checkpoints of a front the least."""

_LABELS: Mapping[str, tuple[str, str]] = {
    "log10_forget_quality": ("log10 p", "log₁₀ forget quality  (KS p-value)"),
    "forget_quality": ("forget p", "forget quality p"),
    "log10_loss_quality": ("log10 loss p", "log₁₀ loss quality  (KS p-value)"),
    "loss_quality": ("loss p", "loss quality p"),
    "model_utility": ("utility", "model utility"),
    "utility_ratio": ("of target", "of the target's"),
    "probe_relearn_forget_rouge": ("relearned ROUGE", "forget ROUGE after relearning"),
    "audit_worst_forget_rouge": ("worst attack", "worst forget ROUGE under attack"),
}


@dataclass(frozen=True)
class Columns:
    """Metric names: the first objective and its companions, those of the second, the third (if any), limits, audits."""

    x: tuple[str, ...]
    y: tuple[str, ...]
    more: tuple[str, ...]


def objectives_of(front: Mapping[str, Any]) -> dict[str, str]:
    """Metric -> max or min, forgetting first; the default for a front that was written without them."""
    return dict(front.get("objectives") or DEFAULT)


def columns(front: Mapping[str, Any]) -> Columns:
    """The columns of a table of this front; limits and audits only if a point has them."""
    x, y, *third = objectives_of(front)
    points = [point for stratum in front["strata"].values() for point in stratum["points"]]
    shown = {x, y, *COMPANIONS.get(x, ()), *COMPANIONS.get(y, ())}
    wanted = dict.fromkeys((*third, *(front.get("constraints") or {}), *HEADLINES))
    more = [name for name in wanted if name not in shown and any(name in point["metrics"] for point in points)]
    return Columns((x, *COMPANIONS.get(x, ())), (y, *COMPANIONS.get(y, ())), tuple(more))


def short_label(metric: str) -> str:
    """The head of a table column."""
    return _LABELS[metric][0] if metric in _LABELS else metric.replace("_", " ")


def label(metric: str) -> str:
    """The name in running text and on an axis."""
    return _LABELS[metric][1] if metric in _LABELS else metric.replace("_", " ")


def short_config(config: Mapping[str, Any]) -> str:
    """`npo_rt, lr 0.000936, beta 0.0406`: the method and its own hyper-parameters."""
    own = {name: value for name, value in config.items() if value is not None and name not in COMMON}
    method, rate = own.pop("method", None), own.pop("learning_rate", None)
    words = [] if method is None else [str(method)]
    words += [] if rate is None else [f"lr {three_digits(rate)}"]
    return ", ".join(words + [f"{name.replace('_', ' ')} {three_digits(value)}" for name, value in own.items()])
