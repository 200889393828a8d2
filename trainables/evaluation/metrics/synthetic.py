"""Metrics of the synthetic experiment: (better, worst, best, meaning) by name. Loads no torch.

`worst` and `best` are the ends of the range that fronts are scaled to. The worst retain_kl is where utility_ratio is
about 0.8, the floor below which a model counts as broken.
"""

from __future__ import annotations

from typing import Literal

_FORGET = "on fresh forget inputs, nats:"
_RETAIN = "on fresh retain inputs, nats:"

METRICS: dict[str, tuple[Literal["max", "min"], float, float, str]] = {
    "forget_kl": ("min", 2.0, 0.0, f"KL(retain model || model) {_FORGET} 0 is forgotten as if never learned"),
    "retain_kl": ("min", 0.25, 0.0, f"KL(retain model || model) {_RETAIN} 0 is nothing lost"),
    "forget_kl_to_target": ("max", 0.0, 10.0, f"KL(target model || model) {_FORGET} how much has changed as intended"),
    "retain_kl_to_target": ("min", 0.25, 0.0, f"KL(target model || model) {_RETAIN} how much has changed by accident"),
    "weight_drift": ("min", 10.0, 0.0, "Euclidean distance of the trained weights from the target model's"),
}
