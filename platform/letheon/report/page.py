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

Row = Mapping[str, Any]

_METRICS = (
    ("model_utility", "utility", "{:.3f}"),
    ("utility_ratio", "of the target's", "{:.1%}"),
    ("forget_quality", "forget quality p", "{:.2g}"),
    ("log10_forget_quality", "log₁₀ p", "{:.2f}"),
)
_ABSENT = "\N{EN DASH}"
_STATES = {"finished": "finished", "interrupted": "interrupted", "failed": "failed"}


def html_report(front: Mapping[str, Any], rows: Sequence[Row], light: bytes, dark: bytes) -> str:
    """The page as text. `light` and `dark` are the PNGs of `plot_front`."""
    sweep = str(front.get("sweep") or "sweep")
    title = f"{_text(sweep)} · Letheon"
    sections = "".join(_stratum(sweep, key, front["strata"][key]) for key in sorted(front["strata"], key=float))
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
        f"{outcomes.count(name)} {name}" for name in ("completed", "pruned", "collapsed", "failed") if name in outcomes
    ]
    if states and states[-1] in _STATES:
        parts.append(states[-1])
    return " · ".join(_text(part) for part in parts)


def _picture(light: bytes, dark: bytes) -> str:
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">'
        f'<img alt="Pareto front of forget quality against model utility, a panel for every forget fraction" '
        f'src="{_data(light)}"></picture></figure>'
    )


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _stratum(sweep: str, fraction: str, stratum: Mapping[str, Any]) -> str:
    points = stratum["points"]
    heading = f"<section><h2>Forget fraction {_text(fraction)}</h2>"
    if not points:
        return f"{heading}<p>No checkpoint kept enough of the target model's utility.</p></section>\n"
    knee = stratum.get("knee") or {}
    facts = [f"{len(points)} checkpoint{'s' if len(points) > 1 else ''} on the front"]
    facts += _fact("hypervolume", stratum.get("hypervolume"), "{:.4g}")
    facts += _fact("utility floor", stratum.get("utility_floor"), "{:.3f}")
    hyper = [name for name in _names(points) if name != "forget_fraction"]
    head = ["checkpoint", *(label for _, label, _ in _METRICS), *hyper]
    cells = "".join(f"<th scope=col>{_text(name)}</th>" for name in head)
    body = "".join(_line(point, hyper, _same(point, knee)) for point in points)
    other = f"{points[-1]['trial']}@{points[-1]['epoch']}"
    command = f"letheon pull {shlex.quote(sweep)} --fraction {fraction} --select knee --to ./model"
    return (
        f"{heading}<p class=facts>{_text(' · '.join(facts))}</p>"
        f"<div class=scroll tabindex=0><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p>Take the knee home (or any other point, such as <code>--select {_text(other)}</code>):</p>"
        f"<pre><code>{_text(command)}</code></pre></section>\n"
    )


def _line(point: Mapping[str, Any], hyper: Sequence[str], is_knee: bool) -> str:
    name = _text(f"{point['trial']}@{point['epoch']}") + (" <span class=knee>knee</span>" if is_knee else "")
    numbers = [_shown(point["metrics"].get(key), form) for key, _, form in _METRICS]
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
