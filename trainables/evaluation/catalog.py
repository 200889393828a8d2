"""Every metric that an evaluation can report: what it means, which way is better, its range. Loads no torch.

What a sweep may optimise or constrain is looked up here; a metric that is not here can be recorded, not searched on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetricInfo:
    """`worst`, `best`: the ends of its range (a clip where it has none), which fronts are scaled to.

    `ratio_to_target`: the range's worst end is a share of the target model's value instead (utility's floor).
    """

    better: Literal["max", "min"]
    worst: float
    best: float
    text: str
