"""What a sweep would do, before anything starts: its trials, rungs, slots and what must be prepared first.

Reads the sweep file, the benchmark and the root folder; starts nothing and writes nothing. Does not estimate seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from letheon.capacity import machine, shortage, slots_that_fit
from letheon.space import sample, stratum, trial_count, trial_name
from letheon.spec import SweepSpec


@dataclass(frozen=True)
class Plan:
    """The fields of `plan --json`. `errors` is empty when the sweep can start."""

    trials: Sequence[Mapping[str, Any]] = ()
    strata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rungs: Sequence[int] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    to_prepare: Sequence[Mapping[str, Any]] = ()
    errors: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def make_plan(spec: SweepSpec, root: Path, nodes: Sequence[Mapping[str, float]] | None = None) -> Plan:
    """The plan on `nodes` (resources as Ray names them, `CPU` and `GPU`); None: on this machine."""
    from letheon.preparation import missing

    nodes = [machine()] if nodes is None else nodes
    samples = [(trial_name(index), sample(spec, index)) for index in range(trial_count(spec))]
    counts = Counter(stratum(hyper.forget_fraction) for _, hyper in samples)
    refusal = shortage(nodes, spec.trial.workers_config)
    return Plan(
        trials=[{"trial": name, "config": hyper.model_dump(exclude_none=True)} for name, hyper in samples],
        strata={stratum(f): {"fraction": f, "trials": counts[stratum(f)]} for f in spec.fractions},
        rungs=list(spec.scheduler.rungs),
        resources=_resources(spec, nodes, len(samples)),
        to_prepare=missing(spec, root),
        errors=[] if refusal is None else [refusal],
    )


def _resources(spec: SweepSpec, nodes: Sequence[Mapping[str, float]], trials: int) -> dict[str, Any]:
    """`cpus` and `gpus` are those of all slots together; `epochs_at_most` is the cost if nothing is pruned."""
    shape = spec.trial.workers_config
    slots = min(slots_that_fit(nodes, shape), trials)
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
        "epochs_at_most": trials * spec.scheduler.max_epochs,
    }
