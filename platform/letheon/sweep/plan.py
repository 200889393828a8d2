"""Plans a sweep before it starts: its trials, rungs, slots, memory, time and missing artifacts.

Reads the sweep file, the benchmark and the root folder. Starts and writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from letheon.cluster.capacity import DoesNotFit, machine, shortage, slots_that_fit
from letheon.cluster.gpus import UnknownGpu, cluster_card_bytes
from letheon.cluster.sizing import (
    AUTO,
    Sizing,
    UnknownModel,
    local_card,
    model_config,
    shape_of,
    size,
    with_gpus,
    with_recipe,
)
from letheon.common.counting import several
from letheon.journal import stratum_of
from letheon.preparation.retain_logs import log_notes
from letheon.search.preview import first_trials
from letheon.spec.model import LEARNING_SEARCHERS, SweepSpec, values_of
from letheon.spec.search_space import trial_count
from letheon.sweep.plan_time import epochs_at_most, estimate
from trainables.model.families import paths
from trainables.synthetic.name import SYNTHETIC


@dataclass(frozen=True)
class Plan:
    """The fields of `plan --json`. `errors` is empty if the sweep can start.

    `trials`: those known in advance: all (`chosen` is "all"), or, if the searcher learns, those that start before any
    result ("first"). `count`: None if only epochs or hours limit the trials. `searched`: hyper-parameters with several
    values; `fixed`: the values of the others. `model`: the paths it takes and why; empty if its configuration is
    unknown. `notes`: settings that are allowed but probably mistakes. `audit`: the attacks at the end of the sweep;
    `probe`: those at its rungs, None without a probe.
    """

    trials: Sequence[Mapping[str, Any]] = ()
    chosen: Literal["all", "first"] = "all"
    count: int | None = None
    budget: Mapping[str, float] = field(default_factory=dict)
    searcher: str = ""
    learns: bool = False
    searched: Sequence[str] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    strata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rungs: Sequence[int] = ()
    probe: Sequence[str] | None = None
    model: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    time: Mapping[str, Any] = field(default_factory=dict)
    to_prepare: Sequence[Mapping[str, Any]] = ()
    audit: Sequence[str] = ()
    notes: Sequence[str] = ()
    errors: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def make_plan(
    spec: SweepSpec,
    root: Path,
    nodes: Sequence[Mapping[str, float]] | None = None,
    card: Callable[[], int | None] = local_card,
) -> Plan:
    """The plan for `nodes` (Ray's resources `CPU` and `GPU`; default: this machine).

    `card`: returns the bytes of the nodes' smallest GPU; called only if they have GPUs.
    """
    from letheon.preparation.layout import layout

    nodes, auto = [machine()] if nodes is None else nodes, spec.trial.gpus_per_worker == AUTO
    spec, model, sizing, unknown = _sized(spec, card if any(node.get("GPU") for node in nodes) else None)
    count = trial_count(spec)
    slots = slots_that_fit(nodes, spec.trial.workers_config)
    slots = slots if count is None else min(slots, count)
    learns = spec.searcher.name in LEARNING_SEARCHERS
    trials = first_trials(spec, max(slots, 1) if learns or count is None else count)
    configs = [row["config"] for row in trials]
    counts, searched = Counter(row["stratum"] for row in trials), _searched(spec)
    refusal = shortage(nodes, spec.trial.workers_config)
    resources, prepared = _resources(spec, nodes, slots), layout(spec, root)
    time = estimate(spec, root, prepared, slots)
    return Plan(
        trials=[{"trial": row["trial"], "config": config} for row, config in zip(trials, configs, strict=True)],
        chosen="all" if len(trials) == count else "first",
        count=count,
        budget=spec.budget.limits,
        searcher=spec.searcher.name,
        learns=learns,
        searched=searched,
        fixed=_fixed(configs, searched),
        strata={
            stratum_of(f): {"fraction": f, "trials": None if learns or count is None else counts[stratum_of(f)]}
            for f in spec.fractions
        },
        rungs=list(spec.scheduler.rungs),
        probe=None if spec.scheduler.probe is None else list(spec.scheduler.probe.attacks),
        model=model,
        resources={**resources, "memory": sizing and sizing.to_json()},
        time=time.to_json(),
        to_prepare=[{"kind": it.kind, "fraction": it.fraction, "key": it.key} for it in prepared.missing],
        audit=list(spec.audit_config.attacks) if spec.audit else [],
        notes=[
            *([] if auto else unknown),
            *(f"model.retain_log {key}: {note}" for key, note in log_notes(spec).items()),
            *_notes(spec, count),
        ],
        errors=[*(unknown if auto else []), *([] if refusal is None else [refusal])],
    )


def plan_on(spec: SweepSpec, root: Path, address: str | None) -> Plan:
    """The plan for the cluster at `address`, None: for this machine. Raises ConnectionError."""
    if address is None:
        return make_plan(spec, root)
    from letheon.cluster.session import cluster_nodes

    return make_plan(spec, root, cluster_nodes(address), partial(cluster_card_bytes, address))


def _sized(spec: SweepSpec, card: Callable[[], int | None] | None) -> tuple[SweepSpec, str, Sizing | None, list[str]]:
    """The sweep file with values for `auto` (exact if unknown; 1 GPU where there are any), the model's paths, the
    predicted memory or None, and why it is unknown. `card`: None without GPUs.
    """
    if spec.benchmark.name == SYNTHETIC:
        return spec, "", None, []
    auto, sizing, problems = spec.trial.gpus_per_worker == AUTO, None, list[str]()
    gpus, model = float(card is not None), ""
    try:
        config = model_config(spec)
        model = paths(config)
        sizing = size(spec, shape_of(spec, config), None if card is None else card())
        spec = with_recipe(spec, sizing.recipe)
        gpus = sizing.gpus if auto else gpus
    except (DoesNotFit, UnknownModel, UnknownGpu) as error:
        problems = [str(error)]
    return (with_gpus(spec, gpus) if auto else spec), model, sizing, problems


def _searched(spec: SweepSpec) -> list[str]:
    """Settings that differ between trials: those with a range or several values, and the seed if there are several."""
    found = [name for name, domain in spec.search.items() if len(values_of(domain)) != 1]
    return [*found, "seed"] if len(spec.seeds) > 1 else found


def _fixed(configs: Sequence[Mapping[str, Any]], searched: Sequence[str]) -> dict[str, Any]:
    """Settings that are the same in all trials; a default that differs by method is not."""
    values: dict[str, list[Any]] = {}
    for config in configs:
        for name, value in config.items():
            values.setdefault(name, []).append(value)
    return {name: same[0] for name, same in values.items() if name not in searched and all(v == same[0] for v in same)}


def _notes(spec: SweepSpec, count: int | None) -> list[str]:
    seeds = len(spec.seeds)
    if count is None or not count % seeds:
        return []
    fewer, more = count - count % seeds, count + seeds - count % seeds
    fix = f"set budget.trials to {f'{fewer} or ' if fewer else ''}{more}"
    rest = several(count % seeds, "seed")
    return [f"budget.trials {count}: is not a multiple of {seeds} seeds, so the last configuration has {rest}; {fix}"]


def _resources(spec: SweepSpec, nodes: Sequence[Mapping[str, float]], slots: int) -> dict[str, Any]:
    """`cpus` and `gpus`: of all slots together. `epochs_at_most`: the cost if no trial is pruned."""
    shape = spec.trial.workers_config
    return {
        "slots": slots,
        "workers": shape.workers,
        "cpus_per_worker": shape.cpus_per_worker,
        "gpus_per_worker": shape.gpus_per_worker,
        "cpus": slots * shape.workers * shape.cpus_per_worker,
        "gpus": slots * shape.workers * shape.gpus_per_worker,
        "capacity": {
            "cpus": sum(node.get("CPU", 0.0) for node in nodes),
            "gpus": sum(node.get("GPU", 0.0) for node in nodes),
        },
        "epochs_at_most": epochs_at_most(spec),
    }
