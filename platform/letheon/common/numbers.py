"""Numbers as people, JSON and MLflow get them. Pure."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, not a truth value, and neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def as_number(value: object) -> float | None:
    """The value as a float; None (JSON's null stands for NaN in records) is NaN; what is no number gives None."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def three_digits(value: object) -> str:
    """A float with three significant digits; anything else as text."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def compact(value: Any) -> Any:
    """A float with five significant digits; None for one that is not finite; anything else as it is."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None


def milliseconds(seconds: float) -> int:
    """Unix seconds as the integer milliseconds that MLflow keeps."""
    return round(float(seconds) * 1000)
