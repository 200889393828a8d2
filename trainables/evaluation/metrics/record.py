"""An evaluation as a whole: numbers, rows, sample texts. To JSON by `dataclasses.asdict`, from JSON by what is here.

Plain values; knows no model, and not how metrics follow from rows (`summary` does).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from trainables.data.rows import Role
from trainables.evaluation.metrics.details import Details, SetDetails

_FIELDS = {field.name for field in fields(SetDetails)}
_ROLES = get_args(Role)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found, as plain values that JSON can hold (NaN as Python writes it).

    `metrics`: `summary.summarise(details)` and `eval_seconds`. `details`: every set, row by row. `samples`: the first
    rows of forget and retain set: set, question, answer, generated.
    """

    metrics: dict[str, float]
    details: Details
    samples: Sequence[dict[str, str]]


def evaluation_from_json(content: Mapping[str, Any]) -> Evaluation:
    """The inverse of `asdict`. Raises ValueError for details that are none, KeyError for a part that is not there."""
    return Evaluation(
        metrics={str(name): float(value) for name, value in content["metrics"].items()},
        details=details_from_json(content["details"]),
        samples=[dict(sample) for sample in content["samples"]],
    )


def details_from_json(content: Mapping[str, Any]) -> dict[str, SetDetails]:
    """The sets of `asdict(evaluation)["details"]`. Raises ValueError for a field or role that no set has."""
    return {name: _set_from_json(name, of_set) for name, of_set in content.items()}


def _set_from_json(name: str, content: Mapping[str, Any]) -> SetDetails:
    if unknown := sorted(set(content) - _FIELDS):
        raise ValueError(f"set {name} has {unknown}: its fields are {sorted(_FIELDS)}; write it with asdict")
    if content.get("role") not in _ROLES:
        raise ValueError(f"set {name} has role {content.get('role')!r}: must be one of {', '.join(_ROLES)}; correct it")
    return SetDetails(**content)


def lost(details: Details) -> dict[str, SetDetails]:
    """The same sets of a model that is not worth evaluating (a loss that is not finite): NaN for every measurement."""
    return {name: _lost_set(of_set) for name, of_set in details.items()}


def _lost_set(of_set: SetDetails) -> SetDetails:
    def nan(values: Any) -> Any:
        if isinstance(values, str):
            return ""
        if isinstance(values, Sequence):
            return [nan(value) for value in values]
        return math.nan

    measured = {
        field.name: nan(getattr(of_set, field.name))
        for field in fields(SetDetails)
        if field.name not in ("role", "multiple_choice", "rouge", "tokens", "attacks")
        and getattr(of_set, field.name) is not None
    }
    return replace(of_set, **measured, attacks={attack: nan(scores) for attack, scores in of_set.attacks.items()})
