"""Tables and lines of the command, from the shapes that `--json` prints. Computes nothing."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from letheon.analysis.answer import answers
from letheon.analysis.capacity import MethodResult, capacities
from letheon.analysis.time_left import duration
from letheon.pareto.front import hypervolume_share, verdict_of
from letheon.pareto.labels import COMMON, Columns, columns, short_label
from trainables.audit.config import ATTACKS
from trainables.config import Hyperparameters

if TYPE_CHECKING:
    from letheon.sweep.finish import Outcome

_LEAK = "_forget_rouge"


def short(value: object) -> str:
    """A value in a table cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{value:.3g}"
    return str(value)


def plain_table(*headers: str, right: bool = False) -> Table:
    """A table without lines. `right`: numbers, in all columns but the first."""
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right" if right else "left"
    return table


def uncut(table: Table, *give_way: str) -> Table:
    """Filled already. On a narrow terminal the columns `give_way` are cut, and the headers of the others wrap."""
    for column in table.columns:
        if column.header not in give_way:
            column.min_width = max((len(str(cell)) for cell in column.cells), default=0)
    return table


def _of_objectives(shown: Columns) -> list[str]:
    """Both objectives, and the utility's share of the target model's."""
    return [shown.x[0], *shown.y]


def front_tables(front: Mapping[str, Any]) -> Iterator[Table | str]:
    """Per stratum a heading and the points, the knee marked with `*`; then the means over seeds, if there are any."""
    shown = columns(front)
    metrics = [*_of_objectives(shown), *shown.more]
    means = (front.get("means") or {}).get("strata") or {}
    said = answers(front)
    if not front["strata"]:
        yield "nothing was measured: no trial has started"
    for name, stratum in front["strata"].items():
        yield ""
        if not (stratum["points"] or stratum.get("least_violating")):
            yield f"forget fraction {name}: nothing was measured: no trial has reported an epoch"
            continue
        yield said[name]
        if stratum["points"]:
            share = hypervolume_share(stratum)
            of = "" if share is None else f", {share:.0%} of what is possible"
            yield f"forget fraction {name}: hypervolume {short(stratum['hypervolume'])}{of} (* knee)"
        else:
            kept = " and ".join([f"utility {short(stratum['utility_floor'])}", *(front.get("constraints") or ())])
            yield f"forget fraction {name}: no checkpoint forgot more than the target model and keeps {kept}; nearest:"
        yield _front_table(stratum["points"] or stratum.get("least_violating", []), stratum["knee"], metrics)
        if (means.get(name) or {}).get("points"):
            yield f"means over {means[name]['points'][0]['seeds']} seeds (95% bootstrap interval):"
            yield _mean_table(means[name]["points"], [shown.x[0], shown.y[0]])


def _front_table(points: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None, metrics: Sequence[str]) -> Table:
    names = _hyper(points)
    method, *rest = names if "method" in names else ["method", *names]
    table = plain_table("", "checkpoint", "verdict", method, *map(short_label, metrics), *map(_head, rest))
    for point in points:
        best = knee is not None and (point["trial"], point["epoch"]) == (knee["trial"], knee["epoch"])
        table.add_row(
            "*" if best else "",
            f"{point['trial']}@{point['epoch']}",
            verdict_of(point),
            short(point["config"].get(method)),
            *(short(point["metrics"].get(name)) for name in metrics),
            *(short(point["config"].get(name)) for name in rest),
        )
    return uncut(table, *map(_head, rest))


def _mean_table(points: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Table:
    names = _hyper(points)
    table = plain_table("trials", *map(_head, names), *map(short_label, metrics))
    for point in points:
        intervals = [point["interval"].get(name, (None, None)) for name in metrics]
        means = [short(point["metrics"].get(name)) for name in metrics]
        table.add_row(
            f"{'+'.join(point['trials'])}@{point['epoch']}",
            *(short(point["config"].get(name)) for name in names),
            *(f"{mean} ({short(low)}…{short(high)})" for mean, (low, high) in zip(means, intervals, strict=True)),
        )
    return uncut(table, "trials", *map(_head, names))


def _hyper(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The hyper-parameters that any of the points has, but for those that every method shares."""
    there = {name for point in points for name, value in point["config"].items() if value is not None}
    own = [name for name in Hyperparameters.model_fields if name in there and name not in COMMON]
    return sorted(own, key=lambda name: name == "learning_rate")


def _head(name: str) -> str:
    return name.replace("_", " ")


def audit_tables(facts: Mapping[str, Any]) -> Iterator[Table | str]:
    """Per stratum what each attack got back (forget ROUGE) from every checkpoint, beside the retain model."""
    for key, stratum in facts["strata"].items():
        models = [(f"{one['trial']}@{one['epoch']}", one["metrics"]) for one in stratum["checkpoints"]]
        models += [("retain model", stratum["retain"])] if stratum["retain"] else []
        attacks = [f"audit_{name}{_LEAK}" for name in ("no_attack", *ATTACKS, "worst")]
        attacks = [name for name in attacks if any(name in metrics for _, metrics in models)]
        yield ""
        yield f"forget fraction {key}: ROUGE of what came back"
        table = plain_table("model", *(_head(name.removeprefix("audit_").removesuffix(_LEAK)) for name in attacks))
        for name, metrics in models:
            table.add_row(name, *(short(metrics.get(attack)) for attack in attacks))
        yield uncut(table)


def outcome_lines(outcome: Outcome, root_option: str) -> Iterator[str]:
    """Where everything is after a sweep, and what to do next. `root_option` is ` --root …` if it is needed."""
    yield ""
    if outcome.state == "interrupted":
        resume = f"{command()} resume {outcome.name}{root_option}"
        strata = outcome.front["strata"].values()
        measured = any(stratum["points"] or stratum.get("least_violating") for stratum in strata)
        early = "" if measured else ", before anything was measured"
        yield f"interrupted after {duration(outcome.seconds)}{early}; continue with: {resume}"
        return
    why = f": {outcome.over}" if outcome.over else ""
    yield from answers(outcome.front).values()
    if outcome.already:
        took = f"was finished before, after {duration(outcome.seconds)}"
        yield f"sweep {outcome.name} {took}{why}; nothing was left to do"
    else:
        yield f"sweep {outcome.name} finished in {duration(outcome.seconds)}{why}"
    if outcome.html is not None:
        yield f"report      {outcome.html}"
    yield f"records     {outcome.tracking}"
    yield from _page(outcome)
    yield from _registered(outcome)
    trial = next((p["trial"] for s in outcome.front["strata"].values() for p in s["points"]), "t000")
    best = _hardest(outcome.front)
    yield "next:"
    if best is not None:
        to = f"./{outcome.name}-knee"
        yield f"  {command()} pull {outcome.name} --select knee --fraction {best} --to {to}{root_option}"
        yield f"  {command()} evaluate {to}"
    yield f"  {command()} explain {outcome.name} {trial}{root_option}"


def command() -> str:
    """How this program is called from here: by name where the shell finds it, else by the path it was started with."""
    called = sys.argv[0]
    return "letheon" if shutil.which("letheon") or not called.endswith("letheon") else os.path.relpath(called)


def _page(outcome: Outcome) -> Iterator[str]:
    if outcome.page is None:
        return
    if not outcome.tracking.startswith("http"):
        yield f"            mlflow ui --backend-store-uri {outcome.tracking}     # then open"
    yield f"            {outcome.page}"


def _hardest(front: Mapping[str, Any]) -> str | None:
    """The largest forget fraction that a checkpoint has forgotten, else the largest with one on its front."""
    strata = {name: stratum for name, stratum in front["strata"].items() if stratum["points"]}
    return max(strata, key=lambda name: (verdict_of(strata[name]["knee"]) == "forgotten", float(name)), default=None)


def _registered(outcome: Outcome) -> Iterator[str]:
    if outcome.registration is None:
        return
    for alias, version in sorted(outcome.registration.aliases.items()):
        if alias.startswith("knee"):
            points = (p for p in outcome.registration.points if p.version == version)
            what = next((f" = {point.trial}@{point.epoch}" for point in points), "")
            yield f"registered  models:/{outcome.registration.model}@{alias}{what}"
    yield from (f"aliases     {line}" for line in outcome.registration.said)


def capacity_head(utility_kept: float) -> str:
    """What stands above the table."""
    return (
        f"best forget quality p of checkpoints that keep {utility_kept:.0%} of the utility; "
        "yes: its verdict is forgotten"
    )


def capacity_table(found: Sequence[MethodResult]) -> Table:
    """Best forget quality p per method and fraction; `-` where no checkpoint keeps the utility."""
    fractions = sorted({reach.fraction for reach in found})
    table = plain_table("method", *(f"{fraction:g}" for fraction in fractions), "capacity", right=True)
    by_place = {(reach.method, reach.fraction): reach for reach in found}
    for method, largest in capacities(found).items():
        cells = [_cell(by_place.get((method, fraction))) for fraction in fractions]
        table.add_row(method, *cells, f"{largest:g}" if largest else "none")
    return table


def _cell(reach: MethodResult | None) -> Text:
    """The p-value, and in a word whether that is forgotten: not every terminal shows bold type."""
    if reach is None:
        return Text()
    if reach.forget_quality is None:
        return Text("-")
    text = f"{reach.forget_quality:.2g}"
    return Text(f"{text} yes", style="bold") if reach.forgotten else Text(f"{text}  no")
