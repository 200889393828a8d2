"""One sweep of one policy on one table: a task that any process can run, and what it found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.policies.catalog import POLICIES, Policy, spec_for
from benchmarks.policies.outside import OutsidePolicy
from benchmarks.protocol.progress import TRIALS, Watch
from letheon.schedulers.config import CollapseConfig
from letheon.search.memory_journal import MemoryJournal
from letheon.search.simulator import SearchPolicy, simulate
from letheon.search.trajectories import Table
from letheon.spec.model import SweepSpec
from letheon.spec.rules_objectives import goals_of

MOST_SHARE = 0.4
"""Sweeps are given up after this share of the epochs that trying everything takes."""
ROOT = Path(__file__).resolve().parents[2]
RULES = 1
"""Raise it when sweeps are run or measured in another way: kept results are then computed again."""


@dataclass(frozen=True)
class Task:
    """`settings`: the number of the policy's candidate. `workers`: trials at a time, in virtual time."""

    table: str
    policy: str
    settings: int
    seed: int
    workers: int


@dataclass(frozen=True)
class Found:
    """What one sweep found in one stratum. `epochs_90`, …: trial-epochs and virtual seconds of the whole sweep until
    the stratum had that share of its hypervolume, None if it never had; `after`: shares after 8, 16, … trials."""

    epochs_90: float | None
    epochs_95: float | None
    seconds_95: float | None
    after: tuple[float, ...]


@lru_cache(maxsize=4)
def table_of(path: str) -> Table:
    """The table in a file, read once per process."""
    return Table.read(path)


def run_task(task: Task) -> dict[str, Found]:
    """Sweep until nothing more is to be measured. What was found, by stratum."""
    table, policy = table_of(task.table), POLICIES[task.policy]
    settings = policy.settings[task.settings]
    spec = spec_for(task.policy, settings, task.seed, table, whole(table))
    watch = Watch(goals_of(spec).search_goals, table, whole(table) if task.policy == "random" else most_epochs(table))
    simulate(spec, table, task.workers, stop_when=watch, policy=_opener(policy, settings, spec, table))
    after = watch.share_after()
    return {
        stratum: Found(
            watch.epochs[stratum].get(0.9),
            watch.epochs[stratum].get(0.95),
            watch.seconds[stratum].get(0.95),
            tuple(round(shares[stratum], 5) for shares in after.values()),
        )
        for stratum in watch.epochs
    }


def _opener(policy: Policy, settings: Mapping[str, Any], spec: SweepSpec, table: Table) -> Any:
    """Another library's policy; None for Letheon's own controller, which the simulator opens itself."""
    if policy.parts is None:
        return None
    make = policy.parts

    def opened(journal: MemoryJournal) -> SearchPolicy:
        rule = CollapseConfig() if policy.collapse else None
        return OutsidePolicy(
            table.space(spec), table.baselines, journal, lambda problem: make(problem, **settings), rule
        )

    return opened


def whole(table: Table) -> int:
    """The epochs of trying everything once, without seeds."""
    first = [each for each in table.trajectories if each.config.get("seed", 0) == table.seeds[0]]
    return table.max_epochs * len(first)


def most_epochs(table: Table) -> int:
    """When a sweep is given up, but not before the largest budget of trials is whole. Random search, which the others
    are compared with, may try everything."""
    return min(whole(table), max(round(MOST_SHARE * whole(table)), TRIALS[-1] * table.max_epochs))


def digest_of(task: Task) -> str:
    """Changes with all that the task's result depends on besides seed and workers: the table, the settings, the code,
    the library's release. Equal for policies that are the same under two names.
    """
    policy, most = POLICIES[task.policy], task.policy == "random"
    about = [RULES, most, policy.settings[task.settings], policy.collapse, policy.version, _content(task.table)]
    about.append(_code_of_letheon() if policy.parts is None else _code_of(policy.parts.__module__))
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]


@lru_cache
def _content(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@lru_cache
def _code_of_letheon() -> str:
    packages = ("journal", "pareto", "schedulers", "searchers", "search", "spec")
    files = [file for name in packages for file in (ROOT / "platform" / "letheon" / name).glob("*.py")]
    return _content_of(files)


@lru_cache
def _code_of(module: str) -> str:
    own = module.rpartition(".")[2]
    names = ("offers", "outside", own, *(("optuna_study", "optuna_tpe") if own != "syne_moasha" else ()))
    return _content_of([ROOT / "benchmarks" / "policies" / f"{name}.py" for name in names])


def _content_of(files: list[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
