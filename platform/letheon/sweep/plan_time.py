"""Estimates how long a sweep will take by stage, from earlier work under the same root or a short measurement, and says
how far off it was.

The search is an upper bound, since trials may be stopped early. The audit is as long as that of an earlier sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from letheon.analysis.time_left import duration
from letheon.cluster.sizing import resolve_auto
from letheon.common.errors import LetheonError
from letheon.common.numbers import is_finite
from letheon.journal import Journal, JournalError, Row, SweepHistory
from letheon.journal.usage import HOUR
from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import layout
from letheon.preparation.measured import amounts_of, measured, record_of, write_measured
from letheon.preparation.seconds import base_of_target, preparation_seconds
from letheon.preparation.speed_test import run_speed_test, tuning_of
from letheon.search.preview import first_trials
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import trial_count
from letheon.sweep.trial_config import trial_config
from trainables.config import Hyperparameters
from trainables.synthetic.name import SYNTHETIC

MOST_TRIALS = 24
"""So many trials say how methods and fractions are mixed."""


class NotMeasurable(LetheonError):
    """There is nothing that a measurement could run."""


@dataclass(frozen=True)
class Estimate:
    """`seconds`: upper bound of the search, None if unknown. `likely`: the same if the scheduler stops as many trials
    as it is made to. `limit`: what sets the bound: `epochs` or a limit of the budget.
    `seconds_per_epoch`: in one slot, as recorded by `sweep`, or by `measure` if that is None. `preparation`, `audit`:
    seconds, None if unknown. `gpu_hours`: of the known stages."""

    seconds: float | None = None
    likely: float | None = None
    limit: str | None = None
    seconds_per_epoch: float | None = None
    sweep: str | None = None
    preparation: float | None = None
    audit: float | None = None
    gpu_hours: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def stages(self) -> dict[str, float]:
        """The known stages, as the journal keeps them."""
        found = {"preparation": self.preparation, "search": self.seconds, "likely": self.likely, "audit": self.audit}
        return {name: round(seconds, 1) for name, seconds in found.items() if seconds is not None}


def epochs_at_most(spec: SweepSpec) -> int | None:
    """The epochs of all trials together if none is stopped early; None if only hours limit them."""
    most = _epochs(spec, spec.scheduler.max_epochs)
    return None if most is None else int(most)


def _epochs(spec: SweepSpec, per_trial: float) -> float | None:
    trials = trial_count(spec)
    return min((count for count in (trials and trials * per_trial, spec.budget.epochs) if count), default=None)


def estimate(spec: SweepSpec, root: Path, prepared: Prepared, slots: int) -> Estimate:
    """The estimate for `slots` trials at a time."""
    epochs, likely, budget = epochs_at_most(spec), _epochs(spec, spec.scheduler.mean_epochs), spec.budget.limits
    sweep, cost, audits = _measured(root, prepared.target.key)
    bounds: dict[str, float] = {}
    if epochs and cost is not None and slots:
        bounds["epochs"] = epochs * cost / slots
    if "wall_hours" in budget:
        bounds["budget.wall_hours"] = budget["wall_hours"] * HOUR
    limit = min(bounds, key=lambda name: bounds[name], default=None)
    search = None if limit is None else bounds[limit]
    if likely is not None and "epochs" in bounds and search is not None and cost is not None:
        likely = min(likely * cost / slots, search)
    else:
        likely = search
    preparation = preparation_seconds(spec, root, prepared, slots)
    if preparation is not None:
        preparation += _as_measured(root, prepared.target.key, "start") or 0.0
    audit = None if not spec.audit or audits is None or not slots else audits / slots
    gpus = slots * spec.trial.workers_config.workers * spec.trial.workers_config.gpus_per_worker
    known = [seconds for seconds in (preparation, search, audit) if seconds is not None]
    return Estimate(
        search, likely, limit, cost, sweep, preparation, audit, sum(known) * gpus / HOUR if gpus and known else None
    )


def measure(spec: SweepSpec, root: Path, address: str | None, folder: Path, say: Callable[[str], None]) -> None:
    """Measure what `estimate` does not find, in a short run on the sweep's workers, and record it under the root.

    `folder`: for everything else that the run writes.

    Raises:
        NotMeasurable, and those of `resolve_auto` and `run_speed_test`.
    """
    if spec.benchmark.name == SYNTHETIC:
        raise NotMeasurable("--measure: the synthetic experiment has no language model to measure; leave it out")
    spec, root = resolve_auto(spec, address, say), root.resolve()
    prepared = layout(spec, root)
    known = estimate(spec, root, prepared, slots=1)
    if known.seconds_per_epoch is not None and known.preparation is not None:
        say("nothing to measure: earlier work under this root recorded it")
        return
    rows = first_trials(spec, min(trial_count(spec) or MOST_TRIALS, MOST_TRIALS))
    each = [Hyperparameters.model_validate(row["config"]) for row in rows]
    by_method = {hyper.method: hyper for hyper in reversed(each)}
    trials = [trial_config(spec, prepared, "measured", hyper, folder) for hyper in by_method.values()]
    slots, ready = run_speed_test(spec, prepared, trials, folder, address, say)
    amounts = amounts_of(spec, [(hyper.method, hyper.forget_fraction) for hyper in each])
    tuning, base = tuning_of(prepared), base_of_target(prepared)
    entries = record_of(slots, amounts, tuning.base if tuning else "", base, spec.trial.workers_config)
    write_measured(root / "models", prepared.target.key, {**entries, "start": {"seconds": ready}})


def how_far_off(rows: list[Row]) -> str | None:
    """`preparation 45 s (planned: 40 s), search 2 min 3 s (planned: 2 min, at most 3 min)`; None without an
    estimate.
    """
    history = SweepHistory(rows)
    expected: Mapping[str, float] = history.info.get("estimate") or {}
    took = {"preparation": history.preparation, "search": history.search}
    parts = []
    for stage, seconds in took.items():
        if planned := expected.get(stage):
            words, likely = duration(planned), expected.get("likely", planned)
            if stage == "search":
                words = f"{f'{duration(likely)}, ' * (likely < planned)}at most {words}"
            parts.append(f"{stage} {duration(seconds)} (planned: {words})")
    return ", ".join(parts) or None


def _measured(root: Path, target: str) -> tuple[str | None, float | None, float | None]:
    """The latest sweep of this target model with reports, its seconds per epoch, and the seconds of its audits. Without
    one, the seconds per epoch as `measure` left them.
    """
    for file in sorted((root / "sweeps").glob("*/journal.jsonl"), key=lambda it: it.stat().st_mtime, reverse=True):
        try:
            rows = Journal.read(file)
        except (JournalError, OSError):
            continue
        history = SweepHistory(rows)
        if history.info.get("target_digest") == target and (cost := history.seconds_per_epoch()) is not None:
            return file.parent.name, cost, _audit_seconds(rows)
    return None, _as_measured(root, target, "epoch"), None


def _as_measured(root: Path, target: str, name: str) -> float | None:
    """The seconds that `measure` left for this target model."""
    return next((it["seconds"] for it in measured(root / "models", name) if it["target"] == target), None)


def _audit_seconds(rows: list[Row]) -> float | None:
    found = [row["metrics"].get("audit_seconds") for row in rows if row["kind"] == "audit"]
    return sum(filter(is_finite, found)) or None
