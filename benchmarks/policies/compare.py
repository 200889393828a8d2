"""The policies under comparison, and how much each one's sweep had found after how many epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from policies.progress import Watch, full_hypervolumes
from policies.ray_minds import RayMind

from letheon.search.memory_journal import MemoryJournal
from letheon.search.simulator import SearchPolicy, simulate
from letheon.search.trajectories import Table
from letheon.spec.model import SweepSpec

SHARE = 0.95
MOST = 1500
"""Trial-epochs after which a sweep is given up: 40% of trying everything without pruning."""
EVERYTHING = 4000
"""The same for random search, which the others are compared with: all of its sweeps get there."""

MindOf = Callable[[MemoryJournal], SearchPolicy]


@dataclass(frozen=True)
class Task:
    """One sweep of one policy, to be run in any process."""

    policy: str
    seed: int
    table: str
    workers: int


@dataclass(frozen=True)
class Result:
    """`reached`: trial-epochs of the whole sweep until the stratum had its share; absent if it never had.
    `curve`: (trial-epochs, hypervolume of each stratum as a share of the table's) whenever one moved."""

    policy: str
    seed: int
    reached: Mapping[str, int]
    epochs: int
    trials: int
    curve: list[tuple[int, dict[str, float]]] = field(repr=False)


@dataclass(frozen=True)
class Policy:
    """`settings` of the sweep file; `ray`: a mind of Ray's parts instead of Letheon's controller; `most`: epochs."""

    label: str
    settings: Mapping[str, Any]
    ray: Callable[..., RayMind] | None = None
    most: int = MOST


NONE = {"name": "none", "collapse": None}
LATE = {"grace_epochs": 5, "reduction_factor": 1.5}
"""Rungs from half of the epochs on: the best trials of this table dip before."""
POLICIES: Mapping[str, Policy] = {
    "random": Policy("random, no pruning", {"scheduler": NONE, "searcher": {"name": "random"}}, most=EVERYTHING),
    "ray_asha": Policy("random + Ray's ASHA", {"scheduler": NONE}, RayMind.random_asha),
    "optuna_ray_asha": Policy("Optuna + Ray's ASHA", {"scheduler": NONE}, RayMind.optuna_asha),
    "letheon": Policy("Letheon", {"scheduler": LATE}),
    "ray_asha_gentle": Policy("random + Ray's ASHA, grace 5, eta 2", {"scheduler": NONE}, RayMind.gentle_asha),
    "collapse_rule": Policy("random + collapse rule", {"scheduler": {"name": "none"}, "searcher": {"name": "random"}}),
    "random_pareto": Policy("random + pareto_asha", {"scheduler": LATE, "searcher": {"name": "random"}}),
    "quasi_pareto": Policy("quasi-random + pareto_asha", {"scheduler": LATE, "searcher": {"name": "quasi_random"}}),
    "optuna_pareto": Policy("Optuna + pareto_asha", {"scheduler": LATE, "searcher": {"name": "optuna"}}),
    "surrogate_alone": Policy("surrogate, collapse rule only", {"scheduler": {"name": "none"}}),
    "early_rungs": Policy("Letheon, rungs at 1 and 3, eta 3", {}),
}


@lru_cache(maxsize=2)
def _table(path: str) -> Table:
    return Table.read(path)


def spec_for(policy: str, seed: int, table: Table) -> SweepSpec:
    """The sweep file that the policy would run: everything that the table has, with the defaults of Letheon."""
    settings = POLICIES[policy].settings
    scheduler = {"max_epochs": table.max_epochs, **settings.get("scheduler", {})}
    searcher = {"seed": seed, **settings.get("searcher", {})}
    return SweepSpec.model_validate(
        {
            "name": "search-benchmark",
            "search": table.domains(),
            "seeds": table.seeds[:1],
            "objectives": table.objectives,
            "scheduler": scheduler,
            "searcher": searcher,
            "budget": {"epochs": POLICIES[policy].most},
        }
    )


def run_task(task: Task) -> Result:
    """Sweep until every stratum has its share, everything has been tried, or it is hopeless."""
    table = _table(task.table)
    spec, policy = spec_for(task.policy, task.seed, table), POLICIES[task.policy]
    watch = Watch(table, full_hypervolumes(table, table.seeds[:1]), SHARE, policy.most)
    mind: MindOf | None = None
    if policy.ray is not None:
        make = policy.ray
        mind = lambda ledger: make(spec, table, ledger, task.seed)  # noqa: E731 (the simulator calls it)
    simulate(spec, table, task.workers, stop_when=watch, policy=mind)
    return Result(task.policy, task.seed, watch.reached, watch.epochs, watch.trials, watch.curve)
