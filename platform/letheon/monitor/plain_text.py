"""A sweep as plain lines for pipes and logs, with the same facts as the screen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from letheon.analysis.time_left import duration, in_words
from letheon.common.counting import several, several_of
from letheon.journal import Row, TrialState
from letheon.monitor.activity import activity_lines
from letheon.monitor.sections import cost_facts, degraded, number, percent
from letheon.monitor.view import LiveView, StratumView, place
from letheon.pareto.labels import DEFAULT, label
from letheon.pareto.objectives import is_probe


def head_line(view: LiveView) -> str:
    """`quickstart: running, 7 of 16 trials (2 running, 5 pruned), 31 epochs, 63 s, about 4 min left`."""
    state = view.state
    counts = ", ".join(f"{count} {name}" for name, count in sorted(state.counts.items()))
    trials = several_of(len(state.trials), view.spec.planned, "trial") + (f" ({counts})" if counts else "")
    detail = f" ({state.detail})" if state.detail else ""
    left = f", {in_words(view.left)}" if state.state == "running" else ""
    return (
        f"{state.sweep}: {state.state}{detail}, {trials}, {several(view.epochs, 'epoch')}, {state.seconds:.0f} s{left}"
    )


def plain_lines(view: LiveView) -> Iterator[str]:
    """The sweep, its fractions, what runs now, trials and cost, and whether tracking is behind."""
    yield head_line(view)
    yield from (f"fraction {key}: {_stratum(stratum)}" for key, stratum in view.strata.items())
    yield from (f"now: {line}" for line in activity_lines(view.activity))
    yield from (_trial(view, trial) for trial in view.state.trials)
    yield from (f"{name}: {fact}" for name, fact in cost_facts(view))
    health = view.state.tracking or {}
    if health.get("state") == "degraded":
        yield degraded(health)


def row_line(row: Row, objectives: Mapping[str, str] = DEFAULT) -> str | None:
    """A journal row as a line of text; None for kinds that a log does not show."""
    match row["kind"]:
        case "report":
            return f"{row['trial']} epoch {row['epoch']}: {metrics_in_words(row['metrics'], objectives)}"
        case "trial":
            return f"{row['trial']} starts: {_settings(row['config'])}"
        case "end":
            return f"{row['trial']} {row['outcome']}: {row['reason']}"
    return None


def metrics_in_words(metrics: Mapping[str, Any], objectives: Mapping[str, str] = DEFAULT) -> str:
    """`utility 0.91 (1.00 of the target's), forget quality p = 0.12`; other objectives with name and value.

    What a probe did not measure, since it runs at rungs only, is `not measured`.
    """

    def value(name: str) -> str:
        return "not measured" if is_probe(name) and name not in metrics else _number(metrics.get(name))

    words = {
        "model_utility": f"utility {value('model_utility')} ({value('utility_ratio')} of the target's)",
        "log10_forget_quality": f"forget quality p = {value('forget_quality')}",
        "log10_loss_quality": f"loss quality p = {value('loss_quality')}",
    }
    return ", ".join(words.get(name) or f"{label(name)} {value(name)}" for name in reversed(list(objectives)))


def _settings(config: Mapping[str, Any]) -> str:
    """`npo_rt  forget 0.1  lr 3e-4  beta 0.05  retain 1.5`."""
    names = {"forget_fraction": "forget", "learning_rate": "lr", "beta": "beta", "retain_weight": "retain"}
    parts = [f"{short} {_number(config[name])}" for name, short in names.items() if config.get(name) is not None]
    return "  ".join([str(config.get("method", "")), *parts])


def _number(value: Any) -> str:
    """Three significant digits; `nan` for a missing or non-finite value."""
    return f"{value:.3g}" if isinstance(value, int | float) and math.isfinite(value) else "nan"


def _stratum(stratum: StratumView) -> str:
    knee = stratum.front.get("knee")
    points = f"{several(len(stratum.front.get('points', ())), 'point')} on the front"
    best = "" if knee is None else f", knee {place(knee)}"
    volume = f"hypervolume {number(stratum.front.get('hypervolume', 0.0))} ({percent(stratum.share)})"
    trials = f"{several_of(stratum.ended, stratum.planned, 'trial')} ended, {stratum.running} running"
    return f"{trials}, {several(stratum.epochs, 'epoch')}, {points}{best}, {volume}"


def _trial(view: LiveView, trial: TrialState) -> str:
    objectives = {axis.metric: axis.better for axis in view.spec.goals.search_goals.axes}
    why = f": {trial.reason}" if trial.reason else ""
    since = f" for {duration(view.since[trial.trial])}" if trial.trial in view.since else ""
    metrics = metrics_in_words(trial.metrics, objectives)
    position = f"epoch {trial.epoch}, fraction {trial.stratum}, {trial.config.get('method')}"
    return f"{trial.trial} {trial.outcome or trial.state}{since}, {position}, {metrics}{why}"
