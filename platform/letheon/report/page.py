"""The fronts as one self-contained HTML page: pictures for light and dark, tables, how to pull. Nothing is fetched.

Every text that comes from a sweep is escaped; the page has no script.
"""

from __future__ import annotations

import base64
import html
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from letheon.report.style import STYLE
from letheon.shown import columns, label

Row = Mapping[str, Any]

_FORMS = {
    "model_utility": "{:.3f}",
    "utility_ratio": "{:.1%}",
    "forget_quality": "{:.2g}",
    "loss_quality": "{:.2g}",
    "log10_forget_quality": "{:.2f}",
    "log10_loss_quality": "{:.2f}",
}
_FORM = "{:.3g}"
_HEADS = {"log10_forget_quality": "log₁₀ p", "log10_loss_quality": "log₁₀ p", "model_utility": "utility"}
_ABSENT = "\N{EN DASH}"
_STATES = {"finished": "finished", "interrupted": "interrupted", "failed": "failed"}


def html_report(front: Mapping[str, Any], rows: Sequence[Row], light: bytes, dark: bytes) -> str:
    """The page as text. `light` and `dark` are the PNGs of `plot_front`."""
    sweep = str(front.get("sweep") or "sweep")
    title = f"{_text(sweep)} · Letheon"
    shown = columns(front)
    names = (*shown.y, *shown.x[::-1], *shown.more)
    means = (front.get("means") or {}).get("strata") or {}
    sections = "".join(
        _stratum(sweep, key, front["strata"][key], names) + _mean_section(means.get(key), names)
        for key in sorted(front["strata"], key=float)
    )
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<style>{STYLE}</style></head>\n<body><main>\n"
        f"<header><p class=brand>Letheon</p><h1>{_text(sweep)}</h1><p class=facts>{_facts(rows)}</p></header>\n"
        f"{_picture(light, dark)}\n{sections}</main></body></html>\n"
    )


def _facts(rows: Sequence[Row]) -> str:
    """What happened, in a line."""
    trials = sum(row["kind"] == "trial" for row in rows)
    checkpoints = sum(row["kind"] == "report" for row in rows)
    outcomes = [str(row["outcome"]) for row in rows if row["kind"] == "end"]
    states = [str(row["state"]) for row in rows if row["kind"] == "sweep"]
    parts = [f"{trials} trials", f"{checkpoints} evaluated checkpoints"]
    parts += [
        f"{outcomes.count(name)} {name}"
        for name in ("completed", "pruned", "stopped", "collapsed", "failed")
        if name in outcomes
    ]
    if states and states[-1] in _STATES:
        parts.append(states[-1])
    return " · ".join(_text(part) for part in parts)


def _picture(light: bytes, dark: bytes) -> str:
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">'
        f'<img alt="Pareto fronts of forgetting against utility, a panel for every forget fraction" '
        f'src="{_data(light)}"></picture></figure>'
    )


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _stratum(sweep: str, fraction: str, stratum: Mapping[str, Any], metrics: Sequence[str]) -> str:
    points = stratum["points"]
    heading = f"<section><h2>Forget fraction {_text(fraction)}</h2>"
    if not points:
        return f"{heading}<p>No checkpoint kept enough of the target model's utility.</p></section>\n"
    knee = stratum.get("knee") or {}
    facts = [f"{len(points)} checkpoint{'s' if len(points) > 1 else ''} on the front"]
    facts += _fact("hypervolume", stratum.get("hypervolume"), "{:.4g}")
    facts += _fact("utility floor", stratum.get("utility_floor"), "{:.3f}")
    hyper = [name for name in _names(points) if name != "forget_fraction"]
    body = "".join(_line(point, metrics, hyper, _same(point, knee)) for point in points)
    other = f"{points[-1]['trial']}@{points[-1]['epoch']}"
    command = f"letheon pull {shlex.quote(sweep)} --fraction {fraction} --select knee --to ./model"
    return (
        f"{heading}<p class=facts>{_text(' · '.join(facts))}</p>"
        f"{_table(['checkpoint', *map(_head, metrics), *hyper], body)}{_retain(stratum, metrics)}"
        f"<p>Take the knee home (or any other point, such as <code>--select {_text(other)}</code>):</p>"
        f"<pre><code>{_text(command)}</code></pre></section>\n"
    )


def _table(head: Sequence[str], body: str) -> str:
    cells = "".join(f"<th scope=col>{_text(name)}</th>" for name in head)
    return f"<div class=scroll tabindex=0><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"


def _retain(stratum: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """What the same attacks get out of the retain model."""
    audit = stratum.get("retain_audit") or {}
    facts = [f"{_head(name)} {_shown(audit[name], _FORM)}" for name in metrics if name in audit]
    return f"<p class=facts>The retain model under the same attacks: {_text(', '.join(facts))}</p>" if facts else ""


def _mean_section(stratum: Mapping[str, Any] | None, metrics: Sequence[str]) -> str:
    """The front of means over seeds, each with its 95 % interval."""
    points = (stratum or {}).get("points") or []
    if not points:
        return ""
    hyper = [name for name in _names(points) if name != "forget_fraction"]
    names = [name for name in metrics if any(name in point["metrics"] for point in points)]
    body = ""
    for point in points:
        numbers = [_with_interval(point, name) for name in names]
        config = [_value(point["config"].get(key)) for key in hyper]
        trials = _text(", ".join(point["trials"]) + f" @{point['epoch']}")
        body += f"<tr><th scope=row>{trials}</th>{''.join(f'<td>{cell}</td>' for cell in (*numbers, *config))}</tr>"
    title = f"<section><h3>Means over {points[0]['seeds']} seeds</h3><p class=facts>with 95 % bootstrap intervals</p>"
    return f"{title}{_table(['trials', *map(_head, names), *hyper], body)}</section>\n"


def _with_interval(point: Mapping[str, Any], name: str) -> str:
    form = _FORMS.get(name, _FORM)
    low, high = point["interval"].get(name, (None, None))
    return f"{_shown(point['metrics'].get(name), form)} <small>{_shown(low, form)} … {_shown(high, form)}</small>"


def _head(metric: str) -> str:
    return _HEADS.get(metric) or label(metric)


def _line(point: Mapping[str, Any], metrics: Sequence[str], hyper: Sequence[str], is_knee: bool) -> str:
    name = _text(f"{point['trial']}@{point['epoch']}") + (" <span class=knee>knee</span>" if is_knee else "")
    numbers = [_shown(point["metrics"].get(key), _FORMS.get(key, _FORM)) for key in metrics]
    config = [_value(point.get("config", {}).get(key)) for key in hyper]
    cells = "".join(f"<td>{cell}</td>" for cell in (*numbers, *config))
    return f"<tr{' class=best' if is_knee else ''}><th scope=row>{name}</th>{cells}</tr>"


def _names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Hyper-parameters in which the points differ, in the order they are declared; of a single point all."""
    configs = [point.get("config", {}) for point in points]
    names = dict.fromkeys(key for config in configs for key, value in config.items() if value is not None)
    return [name for name in names if len(points) == 1 or len({str(config.get(name)) for config in configs}) > 1]


def _same(point: Mapping[str, Any], knee: Mapping[str, Any]) -> bool:
    return (point["trial"], point["epoch"]) == (knee.get("trial"), knee.get("epoch"))


def _fact(name: str, value: object, form: str) -> list[str]:
    return [f"{name} {_shown(value, form)}"] if isinstance(value, int | float) else []


def _shown(value: object, form: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _ABSENT
    return _text(form.format(value))


def _value(value: object) -> str:
    return _ABSENT if value is None else _text(f"{value:.3g}" if isinstance(value, float) else str(value))


def _text(value: str) -> str:
    return html.escape(value, quote=True)
