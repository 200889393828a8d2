"""What the collapse rule alone costs and saves over every trajectory of a table."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.protocol.progress import START, gained
from letheon.pareto.geometry import non_dominated
from letheon.pareto.objectives import Goals
from letheon.schedulers.collapse import collapsed
from letheon.schedulers.config import CollapseConfig
from letheon.search.trajectories import Table, Trajectory

RULE = CollapseConfig()


def stopped_at(trajectory: Trajectory, rule: CollapseConfig = RULE) -> int:
    """The epoch at which the rule ends it; the last one if it never does."""
    ratios: list[float] = []
    for epoch, metrics in enumerate(trajectory.epochs, start=1):
        ratios.append(metrics["utility_ratio"])
        if collapsed(ratios, rule) is not None:
            return epoch
    return len(trajectory.epochs)


def lost_to_collapse_rule(table: Table, goals: Goals, rule: CollapseConfig = RULE) -> list[Mapping[str, object]]:
    """Configurations that the rule stops although later checkpoints of theirs are on the whole table's front."""
    lost = []
    for stratum in {trajectory.stratum for trajectory in table.trajectories}:
        members = [trajectory for trajectory in table.trajectories if trajectory.stratum == stratum]
        points = [
            (trajectory, epoch, point)
            for trajectory in members
            for epoch, metrics in enumerate(trajectory.epochs, start=1)
            if (point := gained(goals, table, stratum, metrics)) is not None
        ]
        on_front = non_dominated([START, *(point for _, _, point in points)])[1:]
        late = {
            id(trajectory)
            for (trajectory, epoch, _), kept in zip(points, on_front, strict=True)
            if kept and epoch > stopped_at(trajectory, rule)
        }
        lost += [trajectory.config for trajectory in members if id(trajectory) in late]
    return lost
