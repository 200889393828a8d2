"""The names of an audit's and a probe's metrics, their headline, and the distance to the retain model.

Pure; loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import get_args

from trainables.audit.config import ATTACKS
from trainables.config import ProbeConfig

NO_ATTACK = "no_attack"
"""The attacked rows without an attack: the baseline of every attack."""

WORST = "audit_worst_forget_rouge"


VALUES = ("forget_rouge", "forget_probability", "extraction_strength")
"""What an attack measures."""

PROBE_ATTACKS: tuple[str, ...] = tuple(
    str(attack) for attack in get_args(get_args(ProbeConfig.model_fields["attacks"].annotation)[0])
)


def named(attack: str, values: Mapping[str, float], by: str = "audit") -> dict[str, float]:
    """`audit_<attack>_<value>`, or `probe_<attack>_<value>`."""
    return {f"{by}_{attack}_{name}": value for name, value in values.items()}


def headline(metrics: Mapping[str, float], by: str = "audit") -> dict[str, float]:
    """`audit_worst_forget_rouge`: the highest leak of any attack or of none. NaN if any is NaN."""
    leaks = [metrics[key] for key in _leaks(by) if key in metrics]
    worst = math.nan if not leaks or any(map(math.isnan, leaks)) else max(leaks)
    return {f"{by}_worst_forget_rouge": worst}


def measured_by(attacks: Iterable[str]) -> list[str]:
    """The metrics of a probe with these attacks; none without attacks."""
    found = [f"probe_{attack}_{value}" for attack in attacks for value in VALUES]
    return [*found, "probe_worst_forget_rouge"] if found else []


def excess(metrics: Mapping[str, float], retain: Mapping[str, float]) -> dict[str, float]:
    """How much more leaks than from the retain model, which never saw the forget set, under the same attack.

    `audit_<attack>_forget_rouge_excess` for every attack on both models, and `audit_worst_forget_rouge_excess`, the
    largest of them. 0 is ideal. An attack that gets well-formed answers from any model (the best of many samples) is
    high for both models, and low here.
    """
    both = [key for key in _leaks("audit") if key in metrics and key in retain]
    found = {f"{key}_excess": metrics[key] - retain[key] for key in both}
    values = list(found.values())
    worst = math.nan if not values or any(map(math.isnan, values)) else max(values)
    return {**found, f"{WORST}_excess": worst}


def _leaks(by: str) -> list[str]:
    return [f"{by}_{attack}_forget_rouge" for attack in (NO_ATTACK, *ATTACKS)]
