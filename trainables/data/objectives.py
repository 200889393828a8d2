"""What a sweep searches for when its file does not say: two metrics by benchmark. Reads no data."""

from __future__ import annotations

from collections.abc import Mapping

from trainables.data.rows import Direction

_WRONG_ANSWERS: Mapping[str, Direction] = {"log10_forget_quality": "max", "model_utility": "max"}
"""Forget quality compares truth ratios, so every row must have wrong answers."""
_LOSSES: Mapping[str, Direction] = {"log10_loss_quality": "max", "model_utility": "max"}
_DISTRIBUTIONS: Mapping[str, Direction] = {"forget_kl": "min", "retain_kl": "min"}

_DEFAULTS: Mapping[str, Mapping[str, Direction]] = {
    "fictional": _WRONG_ANSWERS,
    "tofu": _WRONG_ANSWERS,
    "lume": _LOSSES,
    "muse": _LOSSES,
    "qa": _LOSSES,
    "text": _LOSSES,
    "synthetic": _DISTRIBUTIONS,
}


def default_objectives(name: str) -> dict[str, Direction]:
    """Metric to direction for the benchmark of that name. KeyError if there is none."""
    return dict(_DEFAULTS[name])
