"""Tables and lines that the command prints, from the same data as `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from letheon.analysis.answer import answers
from letheon.analysis.capacity import MethodResult, capacities
from letheon.analysis.time_left import duration
from letheon.cli.output import program
from letheon.common.counting import words
from letheon.common.numbers import short
from letheon.pareto.front import hypervolume_share, name_of, verdict_of
from letheon.pareto.labels import COMMON, Columns, columns, objectives_of, short_label
from trainables.audit.config import ATTACKS

if TYPE_CHECKING:
    from letheon.sweep.finish import Outcome

_LEAK = "_forget_rouge"


six_digits = partial(short, digits=6)


def plain_table(*headers: str, right: bool = False) -> Table:
    """A table without lines. `right`: align all columns but the first to the right, for numbers."""
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right" if right else "left"
    return table


def without_cuts(table: Table, *except_for: str) -> Table:
    """The filled table, whose cells a narrow terminal does not cut, except in the columns `except_for`."""
    for column in table.columns:
        if column.header not in except_for:
            column.min_width = max((len(str(cell)) for cell in column.cells), default=0)
    return table


def front_tables(front: Mapping[str, Any]) -> Iterator[Table | str]:
    """Per stratum: a heading, the points with the knee marked `*`, and the means over seeds if there are several."""
    shown: Columns = columns(front)
    metrics = [shown.x[0], *shown.y, *shown.more]
    means = (front.get("means") or {}).get("strata") or {}
    sentences = answers(front)
    if not front["strata"]:
        yield "nothing was measured: no trial has started"
    for name, stratum in front["strata"].items():
        yield ""
        if not (stratum["points"] or stratum.get("least_violating")):
            yield f"forget fraction {name}: nothing was measured: no trial has reported an epoch"
            continue
        yield sentences[name]
        if stratum["points"]:
            share = hypervolume_share(stratum)
            of = "" if share is None else f", {share:.0%} of what is possible"
            yield f"forget fraction {name}: hypervolume {short(stratum['hypervolume'])}{of} (* knee)"
        else:
            bounds = " and ".join([f"utility ≥ {short(stratum['utility_floor'])}", *(front.get("constraints") or ())])
            yield f"forget fraction {name}: no checkpoint forgets more than the target and meets {bounds}; closest:"
        yield _front_table(stratum["points"] or stratum.get("least_violating", []), stratum["knee"], metrics)
        if (means.get(name) or {}).get("points"):
            yield f"means over {means[name]['points'][0]['seeds']} seeds (95% bootstrap interval):"
            yield _mean_table(means[name]["points"], list(objectives_of(front)))


def _front_table(points: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None, metrics: Sequence[str]) -> Table:
    names = _hyperparameters(points)
    method, *rest = names if "method" in names else ["method", *names]
    table = plain_table("", "checkpoint", "verdict", method, *map(short_label, metrics), *map(words, rest))
    for point in points:
        is_knee = knee is not None and (point["trial"], point["epoch"]) == (knee["trial"], knee["epoch"])
        table.add_row(
            "*" if is_knee else "",
            name_of(point),
            verdict_of(point),
            short(point["config"].get(method)),
            *(short(point["metrics"].get(name)) for name in metrics),
            *(short(point["config"].get(name)) for name in rest),
        )
    return without_cuts(table, *map(words, rest))


def _mean_table(points: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Table:
    names = _hyperparameters(points)
    table = plain_table("trials", *map(words, names), *map(short_label, metrics))
    for point in points:
        intervals = [point["interval"].get(name, (None, None)) for name in metrics]
        means = [short(point["metrics"].get(name)) for name in metrics]
        table.add_row(
            f"{'+'.join(point['trials'])}@{point['epoch']}",
            *(short(point["config"].get(name)) for name in names),
            *(f"{mean} ({short(low)}…{short(high)})" for mean, (low, high) in zip(means, intervals, strict=True)),
        )
    return without_cuts(table, "trials", *map(words, names))


def _hyperparameters(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The hyper-parameters that any of the points has, without those that all methods share."""
    present = [name for point in points for name, value in point["config"].items() if value is not None]
    own = [name for name in dict.fromkeys(present) if name not in COMMON]
    return sorted(own, key=lambda name: name == "learning_rate")


def audit_tables(facts: Mapping[str, Any]) -> Iterator[Table | str]:
    """Per stratum: the forget ROUGE that each attack recovers from each checkpoint and from the retain model."""
    for key, stratum in facts["strata"].items():
        models = [(name_of(one), one["metrics"]) for one in stratum["checkpoints"]]
        models += [("retain model", stratum["retain"])] if stratum["retain"] else []
        attacks = [f"audit_{name}{_LEAK}" for name in ("no_attack", *ATTACKS, "worst")]
        attacks = [name for name in attacks if any(name in metrics for _, metrics in models)]
        yield ""
        yield f"forget fraction {key}: forget ROUGE that each attack recovers"
        table = plain_table("model", *(words(name.removeprefix("audit_").removesuffix(_LEAK)) for name in attacks))
        for name, metrics in models:
            table.add_row(name, *(short(metrics.get(attack)) for attack in attacks))
        yield without_cuts(table)


def outcome_lines(outcome: Outcome, root_option: str) -> Iterator[str]:
    """Where the results of a sweep are, and the next commands. `root_option`: ` --root …`, or empty."""
    yield ""
    if outcome.state == "interrupted":
        resume = f"{program()} resume {outcome.name}{root_option}"
        strata = outcome.front["strata"].values()
        measured = any(stratum["points"] or stratum.get("least_violating") for stratum in strata)
        early = "" if measured else ", before anything was measured"
        yield f"interrupted after {duration(outcome.seconds)}{early}; continue with: {resume}"
        return
    why = f": {outcome.over}" if outcome.over else ""
    if outcome.already:
        yield f"sweep {outcome.name} had already finished, in {duration(outcome.seconds)}{why}; nothing left to do"
    else:
        yield f"sweep {outcome.name} finished in {duration(outcome.seconds)}{why}"
    if outcome.estimated is not None:
        yield f"time        {outcome.estimated}"
    if outcome.html is not None:
        yield f"report      {outcome.html}"
    yield f"records     {outcome.tracking}"
    yield from _mlflow_page(outcome)
    yield from _registered(outcome)
    trial = next((p["trial"] for s in outcome.front["strata"].values() for p in s["points"]), "t000")
    fraction = _largest_forgotten(outcome.front)
    yield "next:"
    if fraction is not None:
        to = f"./{outcome.name}-knee"
        yield f"  {program()} pull {outcome.name} --select knee --fraction {fraction} --to {to}{root_option}"
        yield f"  {program()} evaluate {to}"
    yield f"  {program()} explain {outcome.name} {trial}{root_option}"


def _mlflow_page(outcome: Outcome) -> Iterator[str]:
    if outcome.page is None:
        return
    if not outcome.tracking.startswith("http"):
        yield f"            mlflow ui --backend-store-uri {outcome.tracking}     # then open"
    yield f"            {outcome.page}"


def _largest_forgotten(front: Mapping[str, Any]) -> str | None:
    """The largest fraction whose knee has forgotten; else the largest with a front; None without any front."""
    strata = {name: stratum for name, stratum in front["strata"].items() if stratum["points"]}
    return max(strata, key=lambda name: (verdict_of(strata[name]["knee"]) == "forgotten", float(name)), default=None)


def _registered(outcome: Outcome) -> Iterator[str]:
    if outcome.registration is None:
        return
    for alias, version in sorted(outcome.registration.aliases.items()):
        if alias.startswith("knee"):
            points = (p for p in outcome.registration.points if p.version == version)
            checkpoint = next((f" = {point.trial}@{point.epoch}" for point in points), "")
            yield f"registered  models:/{outcome.registration.model}@{alias}{checkpoint}"
    yield from (f"aliases     {line}" for line in outcome.registration.alias_notes)


def capacity_parts(results: Sequence[MethodResult], utility_kept: float) -> Iterator[Table | str]:
    """A heading, and the best forget quality p per method and fraction; `-` where no checkpoint keeps the utility."""
    kept = f"keep {utility_kept:.0%} of the utility"
    yield f"best forget quality p of checkpoints that {kept}; yes: its verdict is forgotten"
    fractions = sorted({result.fraction for result in results})
    table = plain_table("method", *(f"{fraction:g}" for fraction in fractions), "capacity", right=True)
    by_cell = {(result.method, result.fraction): result for result in results}
    for method, largest in capacities(results).items():
        cells = [_capacity_cell(by_cell.get((method, fraction))) for fraction in fractions]
        table.add_row(method, *cells, f"{largest:g}" if largest else "none")
    yield table


def _capacity_cell(result: MethodResult | None) -> Text:
    """The p-value and whether it counts as forgotten, as a word because not every terminal shows bold."""
    if result is None:
        return Text()
    if result.forget_quality is None:
        return Text("-")
    text = f"{result.forget_quality:.2g}"
    return Text(f"{text} yes", style="bold") if result.forgotten else Text(f"{text}  no")


def metrics_table(result: Mapping[str, Any]) -> Table:
    """One row per metric: the value of this model, and of the target and retain models where known."""
    others = {name: metrics for name, metrics in (result.get("beside") or {}).items() if metrics}
    table = plain_table("metric", "this model", *(f"{name} model" for name in others), right=True)
    for name, value in result["metrics"].items():
        table.add_row(name, *map(six_digits, (value, *(metrics.get(name) for metrics in others.values()))))
    return table


def verdict_line(result: Mapping[str, Any]) -> str | None:
    """The verdict and its reasons; None if the target model's metrics on the same rows are unknown."""
    found = result.get("verdict")
    return found and f"verdict: {found['name']}: {'; '.join(found['reasons'])}"
