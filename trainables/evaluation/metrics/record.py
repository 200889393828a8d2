"""A whole evaluation: metrics, rows and sample texts. `dataclasses.asdict` writes its JSON; this module reads it."""

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
    """Plain values that JSON can hold (NaN as Python writes it).

    `metrics`: `summary.summarise(details)`, harness tasks and `eval_seconds`. `details`: every set, row by row.
    `samples`: set, question, answer and generated text of the first rows of the forget and the retain set.
    """

    metrics: dict[str, float]
    details: Details
    samples: Sequence[dict[str, str]]


def evaluation_from_json(content: Mapping[str, Any]) -> Evaluation:
    """The inverse of `asdict`. Raises ValueError for invalid details, KeyError for a missing part."""
    return Evaluation(
        metrics={str(name): float(value) for name, value in content["metrics"].items()},
        details=details_from_json(content["details"]),
        samples=[dict(sample) for sample in content["samples"]],
    )


def details_from_json(content: Mapping[str, Any]) -> dict[str, SetDetails]:
    """The sets of `asdict(evaluation)["details"]`. Raises ValueError for an unknown field or role."""
    return {name: _set_from_json(name, of_set) for name, of_set in content.items()}


def _set_from_json(name: str, content: Mapping[str, Any]) -> SetDetails:
    if unknown := sorted(set(content) - _FIELDS):
        raise ValueError(f"set {name} has {unknown}: its fields are {sorted(_FIELDS)}; write it with asdict")
    if content.get("role") not in _ROLES:
        raise ValueError(f"set {name} has role {content.get('role')!r}: must be one of {', '.join(_ROLES)}; correct it")
    return SetDetails(**content)


def nan_details(details: Details) -> dict[str, SetDetails]:
    """The same sets with NaN for every measurement: for a model whose loss is not finite."""
    return {name: _nan_set(of_set) for name, of_set in details.items()}


def _nan_set(of_set: SetDetails) -> SetDetails:
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
