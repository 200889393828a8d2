"""Numbers for people, JSON and MLflow. Pure."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is an int or a float, and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether it is a number (not a bool), and neither NaN nor infinite."""
    return is_number(value) and math.isfinite(value)


def as_number(value: object) -> float | None:
    """The value as a float, NaN for None (records write NaN as null), None for anything that is not a number."""
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


def short(value: object, digits: int = 3) -> str:
    """A value as the text of a table cell; floats with that many significant digits, `-` for None."""
    return "-" if value is None else f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def compact(value: Any) -> Any:
    """A float with five significant digits, None for NaN and infinities; anything else unchanged."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None


def milliseconds(seconds: float) -> int:
    """Unix seconds as MLflow's integer milliseconds."""
    return round(float(seconds) * 1000)
