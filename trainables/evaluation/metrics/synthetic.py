"""What the synthetic experiment reports: (better, worst, best, meaning) by name. Loads no torch.

`worst` and `best` are the ends of the range that fronts are scaled to. The worst retain_kl is where utility_ratio is
about 0.8, the floor below which a model counts as broken.
"""

from __future__ import annotations

from typing import Literal

METRICS: dict[str, tuple[Literal["max", "min"], float, float, str]] = {
    "forget_kl": (
        "min",
        2.0,
        0.0,
        "KL(retain model || model) on fresh forget inputs, nats: 0 is forgotten as if never learned",
    ),
    "retain_kl": ("min", 0.25, 0.0, "KL(retain model || model) on fresh retain inputs, nats: 0 is nothing lost"),
    "forget_kl_to_target": (
        "max",
        0.0,
        10.0,
        "KL(target model || model) on fresh forget inputs, nats: how much has changed where it should",
    ),
    "retain_kl_to_target": (
        "min",
        0.25,
        0.0,
        "KL(target model || model) on fresh retain inputs, nats: how much has changed where it should not",
    ),
    "weight_drift": ("min", 10.0, 0.0, "Euclidean distance of the trained weights from the target model's"),
}
