"""The headline of a sweep: how much can be forgotten, at what cost, and by which checkpoint. Pure.

It is read from the front's table (`front --json`), so the terminal, the pages and the records say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from letheon.pareto.front import name_of, reasons_of, verdict_of


def answers(front: Mapping[str, Any]) -> dict[str, str]:
    """One sentence per forget fraction, smaller fractions first."""
    return {key: _sentence(key, front["strata"][key]) for key in sorted(front["strata"], key=float)}


def _sentence(fraction: str, stratum: Mapping[str, Any]) -> str:
    share, knee = f"{float(fraction) * 100:.3g}%", stratum["knee"]
    if knee is None:
        return f"{share} of the data: nothing was forgotten by a checkpoint that is fit for use"
    method = knee["config"].get("method")
    name = name_of(knee) + (f" ({method})" if method else "")
    reasons = reasons_of(knee)
    if verdict_of(knee) == "forgotten":
        return f"{share} of the data can be forgotten: {name}, {reasons}"
    if verdict_of(knee) == "cannot say":
        return f"{share} of the data: nobody can say whether it was forgotten, {reasons}; the best is {name}"
    return f"{share} of the data was not forgotten by any checkpoint; the best compromise is {name}: {reasons}"
