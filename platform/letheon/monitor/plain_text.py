"""A sweep in plain lines, for pipes and logs: the same facts as on the screen, one a line."""

from __future__ import annotations

from collections.abc import Iterator

from letheon.analysis.time_left import duration, in_words
from letheon.common.counting import several, several_of
from letheon.journal import TrialState
from letheon.monitor.sections import cost_facts, degraded, number, percent
from letheon.monitor.view import LiveView, StratumView, place


def head_line(view: LiveView) -> str:
    """`quickstart: running, 7 of 16 trials (2 running, 5 pruned), 31 epochs, 63 s, about 4 min left`."""
    state = view.state
    counts = ", ".join(f"{count} {name}" for name, count in sorted(state.counts.items()))
    trials = several_of(len(state.trials), view.asked.planned, "trial") + (f" ({counts})" if counts else "")
    detail = f" ({state.detail})" if state.detail else ""
    left = f", {in_words(view.left)}" if state.state == "running" else ""
    return (
        f"{state.sweep}: {state.state}{detail}, {trials}, {several(view.epochs, 'epoch')}, {state.seconds:.0f} s{left}"
    )


def plain_lines(view: LiveView) -> Iterator[str]:
    """The sweep, its fractions, its trials, its cost, and whether its records are behind."""
    yield head_line(view)
    yield from (f"fraction {key}: {_stratum(stratum)}" for key, stratum in view.strata.items())
    yield from (_trial(view, trial) for trial in view.state.trials)
    yield from (f"{label}: {fact}" for label, fact in cost_facts(view))
    health = view.state.tracking or {}
    if health.get("state") == "degraded":
        yield degraded(health)


def _stratum(stratum: StratumView) -> str:
    knee = stratum.front.get("knee")
    points = f"{several(len(stratum.front.get('points', ())), 'point')} on the front"
    best = "" if knee is None else f", knee {place(knee)}"
    volume = f"hypervolume {number(stratum.front.get('hypervolume', 0.0))} ({percent(stratum.share)})"
    trials = f"{several_of(stratum.ended, stratum.planned, 'trial')} ended, {stratum.running} running"
    return f"{trials}, {several(stratum.epochs, 'epoch')}, {points}{best}, {volume}"


def _trial(view: LiveView, trial: TrialState) -> str:
    from letheon.monitor.progress import in_words as metrics_in_words

    objectives = {axis.metric: axis.better for axis in view.asked.goals.search_goals.axes}
    why = f": {trial.reason}" if trial.reason else ""
    since = f" for {duration(view.since[trial.trial])}" if trial.trial in view.since else ""
    said = metrics_in_words(trial.metrics, objectives)
    where = f"epoch {trial.epoch}, fraction {trial.stratum}, {trial.config.get('method')}"
    return f"{trial.trial} {trial.outcome or trial.state}{since}, {where}, {said}{why}"
