"""What sweeps, runs and trials look like in a notebook. Pure: plain data in, HTML out; no text in it becomes markup.

Only inline styles, because notebook viewers drop others, and only colours that are readable on light and dark pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from letheon.analysis.answer import answers
from letheon.analysis.time_left import duration, in_words
from letheon.common.counting import several, several_of
from letheon.common.numbers import short
from letheon.monitor.activity import activity_lines
from letheon.monitor.view import LiveView, StratumView, place
from letheon.pareto.front import verdict_of
from letheon.pareto.labels import COMPANIONS, short_label

_LINE = "1px solid rgba(127,127,127,.3)"
_CELL = f"padding:.2em 1.2em .2em 0;text-align:left;vertical-align:top;border-bottom:{_LINE};background:none"
_QUIET = "opacity:.7"
_BAR, _DONE = "#8b8d98", "#3f72d8"
_TONES = {
    **dict.fromkeys(("finished", "completed", "forgotten"), "#18794e"),
    **dict.fromkeys(("running", "preparing"), "#3f72d8"),
    **dict.fromkeys(("interrupted", "over-forgotten", "not forgotten", "collapsed"), "#a15c00"),
    **dict.fromkeys(("failed", "damaged"), "#b3261e"),
}
_OTHER = "#60646c"
MOST_LINES = 6


def heading(name: str, kind: str, facts: str) -> str:
    """The first line: the name, a coloured word, and what else to say."""
    return f'<div style="margin:.2em 0"><b>{escape(name)}</b> {chip(kind)} <span>{escape(facts)}</span></div>'


def chip(word: str) -> str:
    """A state, an outcome or a verdict, white on its colour."""
    style = f"background:{_TONES.get(word, _OTHER)};color:#fff;border-radius:.6em;padding:.05em .6em;font-size:85%"
    return f'<span style="{style};white-space:nowrap">{escape(word)}</span>'


def page(*parts: str) -> str:
    """The parts as one output, in the size of a notebook's own tables."""
    return f'<div style="font-size:12.5px">{"".join(parts)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML; the header is text."""
    head = "".join(f'<th style="{_CELL};font-weight:600">{escape(name)}</th>' for name in header)
    body = "".join(_row(row) for row in rows)
    head = f"<thead><tr>{head}</tr></thead>" if header else ""
    style = "border-collapse:collapse;margin:.3em 0;font-size:inherit"
    return f'<table style="{style}">{head}<tbody>{body}</tbody></table>'


def _row(cells: Iterable[str]) -> str:
    return '<tr style="background:none">' + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Label and text per line."""
    return table((), ((f'<span style="{_QUIET}">{escape(label)}</span>', escape(text)) for label, text in facts))


def lines(texts: Iterable[str]) -> str:
    """Quiet lines below a table."""
    return "".join(f'<div style="{_QUIET};margin:.1em 0">{escape(text)}</div>' for text in texts)


def run_html(view: LiveView) -> str:
    """A sweep at one moment: its progress, its front per fraction in one sentence, and what runs now."""
    state = view.state
    facts = [several_of(len(state.trials), view.spec.planned, "trial"), several(view.epochs, "epoch")]
    facts += [duration(state.seconds)] + ([in_words(view.left)] if state.state == "running" else [])
    top = heading(state.sweep, state.state, " · ".join(facts))
    notes = [state.detail] if state.detail else []
    fronts = {key: stratum.front for key, stratum in view.strata.items() if stratum.front}
    sentences = answers({"strata": fronts}) if fronts else {}
    now = list(activity_lines(view.activity))[:MOST_LINES]
    below = (*sentences.values(), *(f"now: {line}" for line in now))
    return page(top, lines(notes), _strata(view), lines(below))


def _strata(view: LiveView) -> str:
    if not view.strata:
        return ""
    axes = [axis.metric for axis in view.spec.goals.search_goals.axes]
    metrics = [companion for metric in axes for companion in (COMPANIONS.get(metric) or (metric,))]
    most = max(stratum.planned or stratum.started for stratum in view.strata.values())
    header = ("fraction", "trials", "", "hypervolume", "knee", "verdict", "method", *map(short_label, metrics))
    return table(header, (_stratum(key, one, metrics, most) for key, one in view.strata.items()))


def _stratum(key: str, stratum: StratumView, metrics: Sequence[str], most: int) -> list[str]:
    knee = stratum.front.get("knee")
    running = f" ({stratum.running} running)" if stratum.running else ""
    trials = escape(several_of(stratum.ended, stratum.planned, "trial").removesuffix(" trials") + running)
    share = "-" if stratum.share is None else f"{stratum.share:.0%} of what is possible"
    cells = [escape(key), trials, _bar(stratum.ended / max(stratum.planned or most, 1)), share]
    if knee is None:
        return [*cells, "-", "", "", *("" for _ in metrics)]
    values = (escape(short(knee["metrics"].get(name))) for name in metrics)
    method = escape(str(knee["config"].get("method", "")))
    return [*cells, escape(place(knee)), chip(verdict_of(knee)), method, *values]


def _bar(share: float) -> str:
    done = f"background:{_DONE};height:100%;width:{min(share, 1.0):.0%};border-radius:.3em"
    return (
        f'<div style="background:{_BAR}55;width:8em;height:.6em;margin-top:.35em;border-radius:.3em">'
        f'<div style="{done}"></div></div>'
    )


def epochs_html(rows: Iterable[tuple[int, Mapping[str, object], str, str]], metrics: Sequence[str]) -> str:
    """A trial's epochs: (epoch, metrics, verdict or nothing, decision in words)."""
    made = (
        [
            str(epoch),
            *(escape(short(values.get(name))) for name in metrics),
            chip(verdict) if verdict else "",
            escape(decision),
        ]
        for epoch, values, verdict, decision in rows
    )
    return table(("epoch", *map(short_label, metrics), "verdict", "decision"), made)
