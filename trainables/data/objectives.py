"""The default objectives of each benchmark, used if a sweep file names none. Reads no data."""

from __future__ import annotations

from collections.abc import Mapping

from trainables.data.rows import Direction

_WRONG_ANSWERS: Mapping[str, Direction] = {"log10_forget_quality": "max", "model_utility": "max"}
"""Forget quality compares truth ratios, which need wrong answers for every row."""
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
    """Metric -> direction for the benchmark of that name. Raises KeyError if it is unknown."""
    return dict(_DEFAULTS[name])
