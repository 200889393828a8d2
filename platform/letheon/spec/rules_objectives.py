"""Objectives, constraints and audit of a sweep file: their rules, and the goals that fronts and rungs are made by.

The metrics and their ranges come from the catalog of evaluations.
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
    ordered,
)
from letheon.spec.model import SweepSpec
from letheon.spec.source import KeyPath, Problem
from trainables.config import VerdictConfig
from trainables.data.benchmarks.registry import default_objectives
from trainables.evaluation.metrics.catalog import CATALOG, metric_info
from trainables.evaluation.verdict import QUALITIES, ceilings

NOTHING_TO_ATTACK = {"synthetic": "the synthetic experiment answers no questions, so there is nothing to attack"}
_COUNT = 2


def goals_of(spec: SweepSpec) -> Goals:
    """The objectives, limits and utility floor of a sweep file that has been checked."""
    collapse = spec.scheduler.collapse
    x, y = _axes(spec.objectives)
    return Goals(
        x=x,
        y=y,
        limits=tuple(
            Limit(name, *_ends(limit.min, limit.max), scale=_length(name)) for name, limit in spec.constraints.items()
        ),
        floor=UTILITY_FLOOR if collapse is None else collapse.floor,
        honest=tuple(honest_limits(spec.verdict)),
        verdict=spec.verdict,
        search_axes=_axes(default_objectives(spec.benchmark.name)),
    )


def honest_limits(verdict: VerdictConfig) -> Iterator[Limit]:
    """What a checkpoint must keep to so that a high forget quality means what it says.

    Nothing may show that too much was forgotten. What looks forgotten by its forget quality may not be known by its
    losses. Metrics that the data do not give limit nothing.
    """
    for ceiling in ceilings(verdict):
        yield Limit(ceiling.metric, high=ceiling.high, scale=_length(ceiling.metric), optional=True)
    for quality in QUALITIES:
        for metric, least in (("privleak", -verdict.privleak), ("loss_shift", -verdict.loss_shift)):
            yield Limit(metric, low=least, scale=_length(metric), optional=True, when=(quality, verdict.p))


def objective_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Unknown metrics, wrong directions, and what only an audit can measure where none is made."""
    yield from _choice_problems(spec)
    names: list[KeyPath] = [("objectives", name) for name in spec.objectives]
    names += [("constraints", name) for name in spec.constraints]
    unknown = {path for path in names if metric_info(str(path[-1])) is None}
    for path in names:
        if path in unknown:
            yield Problem(path, "unknown metric", did_you_mean(str(path[-1]), CATALOG))
        elif is_audit(str(path[-1])) and spec.audit is False:
            yield Problem(path, "only an audit measures it, and this sweep makes none", "add `audit: true`")
    if spec.audit is not False and spec.benchmark.name in NOTHING_TO_ATTACK:
        yield Problem(("audit",), NOTHING_TO_ATTACK[spec.benchmark.name], "remove it")
    if spec.scheduler.metric is not None and is_audit(spec.scheduler.metric):
        yield Problem(("scheduler", "metric"), "audits are made after the search", "rank trials by another metric")


def _choice_problems(spec: SweepSpec) -> Iterator[Problem]:
    if len(spec.objectives) != _COUNT:
        rule = f"names {several(len(spec.objectives), 'metric')}, a front has two objectives"
        yield Problem(("objectives",), rule, "name what must be forgotten and what must stay, or leave objectives out")
    for name, better in spec.objectives.items():
        info = metric_info(name)
        if info is not None and info.better != better:
            word = "larger" if info.better == "max" else "smaller"
            yield Problem(("objectives", name), f"is better when {word}", f"write {name}: {info.better}")


def axis_of(metric: str, better: Better) -> Axis:
    """The objective with its range from the catalog. Raises KeyError for a metric that is not in it."""
    info = metric_info(metric)
    if info is None:
        raise KeyError(metric)
    return Axis(metric, better, info.worst, info.best, RATIOS.get(metric) if info.ratio_to_target else None)


def _axes(objectives: Mapping[str, Better]) -> tuple[Axis, Axis]:
    return ordered(axis_of(name, better) for name, better in objectives.items())


def _ends(low: float | None, high: float | None) -> tuple[float, float]:
    return float("-inf") if low is None else low, float("inf") if high is None else high


def _length(metric: str) -> float:
    info = metric_info("privleak_distance" if metric == "privleak" else metric)
    return 1.0 if info is None or info.best == info.worst else abs(info.best - info.worst)
