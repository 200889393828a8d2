"""The verbs that look: status, explain, front, capacity, pull, evaluate, compare-logs, methods, schema."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from letheon.analysis.why_not import why_not
from letheon.analysis.why_not_text import in_words
from letheon.cli.options import (
    DEFAULT_ROOT,
    Fraction,
    Json,
    Name,
    Overrides,
    Root,
    Server,
    TrackingUri,
    app,
    checked_spec,
    delegate_to_cluster,
    find,
    share,
)
from letheon.cli.output import console, print_error, print_json
from letheon.common.errors import NotFound
from letheon.journal import Row
from letheon.pareto.objectives import Goals


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Name of a sweep under the root; none: all of them.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Until nothing runs any more, or Ctrl-C.")] = False,
    address: Server = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """How a sweep stands: its trials, its fronts so far, what it costs and when it ends. Without a name: all sweeps."""
    from letheon.cli.watch import show_sweep, show_sweeps

    if watch and address is not None:
        from letheon.cli.cluster import follow

        follow(address, name)
    delegate_to_cluster(address, root, "status", name, "--json" if json else None)
    if name is None:
        show_sweeps(root, watch, json)
        return
    show_sweep(find(name, root), root, watch, json)


@app.command()
def explain(
    name: Name,
    trial: Annotated[str, typer.Argument(help="For example t007.")],
    address: Server = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Why a trial continued or was stopped, rung by rung."""
    from letheon.analysis.explain import explain as facts
    from letheon.analysis.explain import in_words
    from letheon.journal import Journal

    delegate_to_cluster(address, root, "explain", name, trial, "--json" if json else None)
    found = find(name, root)
    rows = Journal.read(found.journal)
    if json:
        print_json(facts(rows, trial))
        return
    for line in in_words(rows, trial, found.spec.scheduler.reduction_factor):
        typer.echo(line)


@app.command()
def front(
    name: Name,
    fraction: Fraction = None,
    why_not: Annotated[
        str | None, typer.Option(metavar="TRIAL[@EPOCH]", help="Say why this trial or checkpoint is not on the front.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report, one HTML file.")] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """The checkpoints that no other beats in both forgetting and utility, per forget fraction."""
    found, rows = _front(name, root, fraction)
    if html is not None:
        _write_report(name, root, html)
    if why_not is not None:
        print_why_not(rows, why_not, find(name, root).goals, found["strata"], json)
        return
    if json:
        from letheon.analysis.seeds import configurations

        print_json({**found, "configurations": configurations(rows, fraction)} if found["means"] else found)
        return
    from letheon.cli.tables import front_tables

    out = console()
    for part in front_tables(found):
        out.print(part)


def _front(name: str, root: Path, fraction: float | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The front now, of one fraction if it is given, and the journal behind it."""
    from letheon.analysis.seeds import front_with_means
    from letheon.common.errors import NotFound
    from letheon.journal import Journal, stratum_of

    found = find(name, root)
    rows = Journal.read(found.journal)
    result = front_with_means(rows, len(found.spec.seeds), name, found.goals)
    if fraction is not None:
        strata = result["strata"]
        if stratum_of(fraction) not in strata:
            there = ", ".join(strata) or "none yet"
            raise NotFound(f"--fraction {fraction:g}: not in sweep {name!r}; its fractions: {there}")
        for part in (result, result["means"]) if result["means"] else (result,):
            part["strata"] = {stratum_of(fraction): part["strata"][stratum_of(fraction)]}
    return result, rows


def _write_report(name: str, root: Path, file: Path) -> None:
    from letheon.dashboard.html_report import write_report
    from letheon.dashboard.local import LocalSweep

    local = LocalSweep(find(name, root).folder)
    record = local.record()
    write_report(file, record, lambda trial: local.said(record, trial))


@app.command()
def capacity(
    name: Name,
    kept: Annotated[
        float,
        typer.Option("--utility", callback=share, help="Share of the target's utility that must be kept, 0 to 1."),
    ] = 0.95,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw it.")] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """How much each method can forget: its best checkpoint per forget fraction among those that keep the utility."""
    from letheon.analysis.capacity import best_per_method, to_json
    from letheon.journal import Journal

    sweep = find(name, root)
    found = best_per_method(Journal.read(sweep.journal), kept, sweep.goals.verdict)
    if png is not None:
        from letheon.plots.capacity import plot_capacity

        png.write_bytes(plot_capacity(found, kept))
    if json:
        print_json(to_json(found, kept))
        return
    from letheon.cli.tables import capacity_head, capacity_table

    console().print(capacity_head(kept), capacity_table(found), sep="\n")


@app.command()
def pull(  # noqa: PLR0913, PLR0917 (an argument an option)
    name: Annotated[str, typer.Argument(help="A sweep in the tracking store, or models:/STUDY@ALIAS.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="A folder that does not exist yet.")],
    select: Annotated[
        str, typer.Option(help="knee, max-utility, max-forget, TRIAL@EPOCH or an alias: knee-05.")
    ] = "knee",
    fraction: Fraction = None,
    min_utility: Annotated[
        float | None, typer.Option(callback=share, help="At least this share of the target's utility, 0 to 1.")
    ] = None,
    at_most: Annotated[
        list[str] | None, typer.Option("--max", metavar="METRIC=V", help="At most this much; may be repeated.")
    ] = None,
    at_least: Annotated[
        list[str] | None, typer.Option("--min", metavar="METRIC=V", help="At least this much; may be repeated.")
    ] = None,
    max_relearn: Annotated[
        float | None, typer.Option(help="At most this forget ROUGE after relearning; needs an audit.")
    ] = None,
    require: Annotated[
        str | None, typer.Option(metavar="VERDICT", help="Refuse a checkpoint with another verdict: forgotten.")
    ] = None,
    tracking_uri: TrackingUri = None,
    study: Annotated[str | None, typer.Option(help="Its study, where several have a sweep of this name.")] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Download a front checkpoint, verify its files, and move it into place last. A broken download continues."""
    from dataclasses import asdict

    from letheon.checkpoints.select import Bound, checked_verdict, parse_bound
    from letheon.tracking.reader.pull import Request
    from letheon.tracking.reader.pull import pull as fetch

    bounds = [parse_bound("max", text) for text in at_most or ()] + [
        parse_bound("min", text) for text in at_least or ()
    ]
    if max_relearn is not None:
        bounds.append(Bound("audit_relearn_forget_rouge", "max", max_relearn, "--max-relearn"))
    request = Request(select, fraction, min_utility, tuple(bounds), checked_verdict(require))
    with _saying_what_is_kept(to):
        pulled = fetch(name, to, root, request, tracking_uri, study)
    if pulled.doubt is not None:
        print_error(f"warning: {pulled.doubt}")
    if json:
        print_json({**asdict(pulled), "path": str(pulled.path)})
        return
    what = f"{pulled.trial}@{pulled.epoch} of {pulled.sweep} (fraction {pulled.fraction})"
    typer.echo(f"{what}, {pulled.verdict}, is in {pulled.path}; its files are verified")
    typer.echo(pulled.how_to_load())


@contextmanager
def _saying_what_is_kept(to: Path) -> Iterator[None]:
    """Of a pull that breaks off."""
    from letheon.tracking.reader.partial import partial_path
    from letheon.tracking.reader.pull import DiskSpaceError
    from letheon.tracking.store.errors import TrackingError

    try:
        yield
    except (KeyboardInterrupt, TrackingError, DiskSpaceError):
        if partial_path(to).exists():
            print_error(f"what has come so far is kept in {partial_path(to)}; the same command continues from there")
        raise


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder, such as `pull` makes.")],
    benchmark: Annotated[
        str | None, typer.Option(metavar="SPACE", help="Benchmark of this sweep file; none: the folder's own.")
    ] = None,
    overrides: Overrides = None,
    fraction: Fraction = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the rows, as open-unlearning's TOFU_EVAL.json.")
    ] = None,
    json: Json = False,
) -> None:
    """Metrics of a model folder, beside those of its target and retain model where they are known."""
    from letheon.cli.evaluate import evaluate_model, metrics_table, verdict_line

    spec = None if benchmark is None else checked_spec(benchmark, overrides)
    result = evaluate_model(model, spec, fraction, out, print_error)
    if json:
        print_json(result)
        return
    screen = console()
    screen.print(metrics_table(result))
    if (said := verdict_line(result)) is not None:
        screen.print("", said, sep="\n", soft_wrap=True)
    if "seconds" in result:
        print_error(f"evaluated in {result['seconds']:.1f} s")


@app.command("compare-logs")
def compare_logs(
    retain: Annotated[Path, typer.Argument(help="Evaluation log of the retain model.")],
    unlearned: Annotated[Path, typer.Argument(help="Evaluation log of the unlearned model.")],
    json: Json = False,
) -> None:
    """Forget quality and all that can be had from two evaluation logs of open-unlearning or TOFU."""
    from letheon.cli.compare_logs import compare, report_parts

    report = compare(retain, unlearned)
    if json:
        print_json(report)
        return
    out = console()
    for part in report_parts(report):
        out.print(part, soft_wrap=isinstance(part, str))


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="For example npo_rt; none: all of them.")] = None,
    json: Json = False,
) -> None:
    """The unlearning methods: what each needs, and its hyper-parameters with the ranges worth searching."""
    from letheon.cli.methods import method_parts, methods_json

    if json:
        print_json(methods_json(name))
        return
    out = console()
    for part in method_parts(name):
        out.print(part, soft_wrap=isinstance(part, str))


@app.command()
def schema() -> None:
    """JSON Schema of a sweep file, for editors."""
    from letheon.spec.load import json_schema

    print_json(json_schema())


def print_why_not(rows: Sequence[Row], asked: str, goals: Goals, strata: Collection[str], json: bool) -> None:
    """The answer as sentences or JSON. `strata`: those that are asked about; NotFound for a trial of another one."""
    answer = why_not(rows, asked, goals)
    stratum = answer.trial["stratum"]
    if stratum not in strata:
        raise NotFound(f"--why-not {asked}: a trial of forget fraction {stratum}, not of {', '.join(strata)}")
    if json:
        print_json(answer.to_json())
        return
    for line in in_words(answer):
        typer.echo(line)
