"""The policies under comparison, and for each the few settings among which it may choose on other tables."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.policies import optuna_gp, optuna_tpe, ray_asha, syne_moasha
from benchmarks.policies.outside import grace
from letheon.search.trajectories import Table
from letheon.spec.model import SweepSpec

Settings = Mapping[str, Any]
NO_STOP: Settings = {"scheduler": {"name": "none"}}


@dataclass(frozen=True)
class Policy:
    """`settings`: candidates, the documented defaults first. With `parts` they are those of another library, else
    sections of a sweep file. `package`: (import name, name to install) of a library that Letheon does not need itself.
    """

    label: str
    settings: tuple[Settings, ...]
    parts: Callable[..., Any] | None = None
    package: tuple[str, str] | None = None
    collapse: bool = True

    @property
    def missing(self) -> str | None:
        """How to install what the policy needs; None if it is there."""
        if self.package is None or importlib.util.find_spec(self.package[0]) is not None:
            return None
        return f"{self.package[1]} is not installed; python -m pip install 'letheon[benchmarks]' does"

    @property
    def version(self) -> str:
        """The library's release, which its results depend on."""
        return importlib.metadata.version(self.package[1]) if self.package else ""


RUNGS = tuple({"grace_epochs": first, "eta": eta} for first in (1, "half") for eta in (3.0, 1.5))
OPTUNA, RAY, SYNE = ("optuna", "optuna"), ("ray", "ray"), ("syne_tune", "syne-tune")
LATE: Settings = {"scheduler": {"grace_epochs": "half", "reduction_factor": 1.5}}

_ALONE: Mapping[str, Policy] = {
    "random": Policy("random", ({**NO_STOP, "searcher": {"name": "random"}},)),
    "quasi_random": Policy("quasi-random", ({**NO_STOP, "searcher": {"name": "quasi_random"}},)),
    "optuna_tpe": Policy(
        "Optuna TPE", ({}, {"startup": 5}, {"joint": True}, {"joint": True, "startup": 5}), optuna_tpe.parts, OPTUNA
    ),
    "optuna_gp": Policy("Optuna GPSampler", ({}, {"startup": 4}), optuna_gp.parts, OPTUNA),
    "optuna_gp_split": Policy("Optuna GPSampler per method", ({"split": True, "startup": 2},), optuna_gp.parts, OPTUNA),
    "moasha": Policy("Syne Tune MOASHA", RUNGS, syne_moasha.parts, SYNE),
    "ray_asha": Policy("random + Ray ASHA", RUNGS, ray_asha.parts, RAY),
    "optuna_ray_asha": Policy(
        "Optuna TPE + Ray ASHA", tuple({**each, "optuna": True} for each in RUNGS), ray_asha.parts, RAY
    ),
}

POLICIES: Mapping[str, Policy] = {
    **{
        name + suffix: Policy(policy.label + words, policy.settings, policy.parts, policy.package, collapse)
        for name, policy in _ALONE.items()
        for suffix, words, collapse in (("", "", False), ("_collapse", " + collapse rule", True))
    },
    "letheon_defaults": Policy("Letheon, shipped defaults", ({},)),
    "letheon": Policy("Letheon", ({}, LATE, NO_STOP)),
}
"""Every baseline with and without Letheon's collapse rule, then Letheon."""

BASELINES = tuple(name for name in POLICIES if not name.startswith("letheon"))


def spec_for(name: str, settings: Settings, seed: int, table: Table, most: int) -> SweepSpec:
    """The sweep file of a policy: all that the table has, at most `most` trial-epochs, and Letheon's defaults."""
    policy = POLICIES[name]
    sections = {} if policy.parts is not None else settings
    scheduler = {"max_epochs": table.max_epochs, **sections.get("scheduler", {})}
    if "grace_epochs" in scheduler:
        scheduler["grace_epochs"] = grace(scheduler["grace_epochs"], table.max_epochs)
    if not policy.collapse:
        scheduler["collapse"] = None
    return SweepSpec.model_validate(
        {
            "name": "search-benchmark",
            "search": table.domains(table.seeds[:1]),
            "seeds": table.seeds[:1],
            "objectives": table.objectives,
            "scheduler": scheduler,
            "searcher": {"seed": seed, **sections.get("searcher", {})},
            "budget": {"epochs": most},
        }
    )
