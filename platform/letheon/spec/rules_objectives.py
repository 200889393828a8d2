"""Rules for the objectives, constraints and audit of a sweep file, and the goals that follow from them.

Metrics and their ranges come from `trainables.evaluation.metrics.catalog`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from letheon.common.counting import several
from letheon.common.errors import did_you_mean
from letheon.pareto.objectives import (
    RATIOS,
    UTILITY_FLOOR,
    Axis,
    Better,
    Goals,
    Limit,
    is_audit,
    is_probe,
    named,
    ordered,
)
from letheon.spec.model import SweepSpec
from letheon.spec.source import KeyPath, Problem
from trainables.audit.summary import PROBE_ATTACKS, measured_by
from trainables.config import ProbeConfig, VerdictConfig
from trainables.data.benchmarks.registry import default_objectives
from trainables.evaluation.metrics.catalog import CATALOG, metric_info
from trainables.evaluation.verdict import QUALITIES, ceilings

NOTHING_TO_ATTACK = {"synthetic": "the synthetic experiment answers no questions, so there is nothing to attack"}
_SHARDED_WEIGHTS = 3  # the ZeRO stage at which no worker holds all weights
_OBJECTIVES = (2, 3)


def goals_of(spec: SweepSpec) -> Goals:
    """The objectives, limits and utility floor of a valid sweep file."""
    collapse = spec.scheduler.collapse
    return Goals(
        **named(_axes(spec.objectives)),
        limits=tuple(
            Limit(name, *_bounds(each.min, each.max), scale=_range_length(name))
            for name, each in spec.constraints.items()
        ),
        floor=UTILITY_FLOOR if collapse is None else collapse.floor,
        honest=tuple(honest_limits(spec.verdict)),
        verdict=spec.verdict,
        search_axes=_axes(default_objectives(spec.benchmark.name)),
    )


def honest_limits(verdict: VerdictConfig) -> Iterator[Limit]:
    """Limits that a checkpoint must respect for its forget quality to be trusted.

    No metric may show that too much was forgotten, and if the forget quality says "forgotten", the losses may not say
    "known". All limits are optional: a metric that the data do not provide limits nothing.
    """
    for ceiling in ceilings(verdict):
        yield Limit(ceiling.metric, high=ceiling.high, scale=_range_length(ceiling.metric), optional=True)
    for quality in QUALITIES:
        for metric, least in (("privleak", -verdict.privleak), ("loss_shift", -verdict.loss_shift)):
            yield Limit(metric, low=least, scale=_range_length(metric), optional=True, when=(quality, verdict.p))


def objective_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Unknown metrics, wrong directions, and metrics of an audit or a probe in a sweep without one."""
    yield from _objective_choice_problems(spec)
    names: list[KeyPath] = [("objectives", name) for name in spec.objectives]
    names += [("constraints", name) for name in spec.constraints]
    unknown = {path for path in names if metric_info(str(path[-1])) is None}
    for path in names:
        if path in unknown:
            yield Problem(path, "unknown metric", did_you_mean(str(path[-1]), CATALOG))
        elif is_audit(str(path[-1])) and spec.audit is False:
            yield Problem(path, "only an audit measures it, and this sweep has none", "add `audit: true`")
        elif is_probe(str(path[-1])):
            yield from _unprobed(path, str(path[-1]), spec.scheduler.probe)
    yield from _probe_problems(spec)
    if spec.audit is not False and spec.benchmark.name in NOTHING_TO_ATTACK:
        yield Problem(("audit",), NOTHING_TO_ATTACK[spec.benchmark.name], "remove it")
    if spec.scheduler.metric is not None and is_audit(spec.scheduler.metric):
        yield Problem(("scheduler", "metric"), "audits run after the search", "rank trials by another metric")


def _probe_problems(spec: SweepSpec) -> Iterator[Problem]:
    if spec.scheduler.metric is not None and is_probe(spec.scheduler.metric):
        yield from _unprobed(("scheduler", "metric"), spec.scheduler.metric, spec.scheduler.probe)
    if spec.scheduler.probe is None:
        return
    path: KeyPath = ("scheduler", "probe")
    if spec.benchmark.name in NOTHING_TO_ATTACK:
        yield Problem(path, NOTHING_TO_ATTACK[spec.benchmark.name], "remove it")
    if spec.trial.zero_stage == _SHARDED_WEIGHTS:
        rule = "attacks a copy of all weights, which no worker holds at ZeRO stage 3 (trial.deepspeed)"
        yield Problem(path, rule, "remove it, or set trial.deepspeed: {zero_optimization: {stage: 2}}")


def _unprobed(path: KeyPath, metric: str, probe: ProbeConfig | None) -> Iterator[Problem]:
    """A problem if the sweep's probe does not measure the metric."""
    attacks = () if probe is None else probe.attacks
    if metric in measured_by(attacks):
        return
    attack = next((one for one in PROBE_ATTACKS if metric.startswith(f"probe_{one}_")), "relearn")
    fix = f"add `scheduler: {{probe: {{attacks: [{', '.join(dict.fromkeys((*attacks, attack)))}]}}}}`"
    if metric not in measured_by(PROBE_ATTACKS):
        fix = did_you_mean(metric, measured_by(PROBE_ATTACKS))
    has = f"the probe's attacks are {', '.join(attacks)}" if attacks else "this sweep has no probe"
    yield Problem(path, f"only a probe measures it, and {has}", fix)


def _objective_choice_problems(spec: SweepSpec) -> Iterator[Problem]:
    if len(spec.objectives) not in _OBJECTIVES:
        rule = f"names {several(len(spec.objectives), 'metric')}, a front has two or three objectives"
        fix = "name one metric of forgetting and one of utility, or leave objectives out"
        yield Problem(("objectives",), rule, fix)
    for name, better in spec.objectives.items():
        info = metric_info(name)
        if info is not None and info.better != better:
            word = "larger" if info.better == "max" else "smaller"
            yield Problem(("objectives", name), f"is better when {word}", f"write {name}: {info.better}")


def axis_of(metric: str, better: Better) -> Axis:
    """The objective with its range from the catalog. Raises KeyError for an unknown metric."""
    info = metric_info(metric)
    if info is None:
        raise KeyError(metric)
    return Axis(metric, better, info.worst, info.best, RATIOS.get(metric) if info.ratio_to_target else None)


def _axes(objectives: Mapping[str, Better]) -> tuple[Axis, ...]:
    return ordered(axis_of(name, better) for name, better in objectives.items())


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    return float("-inf") if low is None else low, float("inf") if high is None else high


def _range_length(metric: str) -> float:
    info = metric_info("privleak_distance" if metric == "privleak" else metric)
    return 1.0 if info is None or info.best == info.worst else abs(info.best - info.worst)
