"""The verbs that read: status, explain, front, capacity, pull, evaluate, compare-logs, methods, schema."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

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
    require_share,
)
from letheon.cli.output import print_error, print_json, print_parts
from letheon.common.errors import NotFound
from letheon.journal import Row
from letheon.pareto.objectives import Goals


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Name of a sweep under the root; default: all sweeps.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Update every second until nothing runs, or until Ctrl-C.")
    ] = False,
    address: Server = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Show a sweep's trials, fronts so far, cost and time left. Without a name: list all sweeps."""
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
    trial: Annotated[str, typer.Argument(help="Name of a trial, such as t007.")],
    address: Server = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Explain why a trial continued or was stopped, rung by rung."""
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
        str | None,
        typer.Option(metavar="TRIAL[@EPOCH]", help="Explain why this trial or checkpoint is not on the front."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report, as one HTML file.")] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """List the best checkpoints per forget fraction: no other has both more forgetting and more utility."""
    from letheon.analysis.seeds import front_with_means
    from letheon.api.run import Run, only_fraction
    from letheon.journal import Journal

    sweep = find(name, root)
    rows = Journal.read(sweep.journal)
    found = only_fraction(front_with_means(rows, len(sweep.spec.seeds), sweep.name, sweep.goals), fraction)
    if html is not None:
        Run.at(sweep.folder).report(html)
    if why_not is not None:
        _print_why_not(rows, why_not, sweep.goals, found["strata"], json)
        return
    if json:
        from letheon.analysis.seeds import configurations

        print_json({**found, "configurations": configurations(rows, fraction)} if found["means"] else found)
        return
    from letheon.cli.tables import front_tables

    print_parts(front_tables(found), soft_wrap=False)
    infos = [row["info"] for row in rows if row["kind"] == "sweep" and row.get("info")]
    notes: dict[str, str] = next((info["retain_log"] for info in infos if "retain_log" in info), {})
    print_parts(f"forget fraction {key}: {note}" for key, note in notes.items())


@app.command()
def capacity(
    name: Name,
    kept: Annotated[
        float,
        typer.Option("--utility", callback=require_share, help="Share of the target model's utility to keep, 0 to 1."),
    ] = 0.95,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw it as a PNG.")] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Show how much each method can forget: its best checkpoint per fraction that keeps the utility."""
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
    from letheon.cli.tables import capacity_parts

    print_parts(capacity_parts(found, kept), soft_wrap=False)


@app.command()
def pull(  # noqa: PLR0913, PLR0917 (one argument per option)
    name: Annotated[str, typer.Argument(help="A sweep in the tracking store, or models:/STUDY@ALIAS.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder to create; must not exist yet.")],
    select: Annotated[
        str, typer.Option(help="Which checkpoint: knee, max-utility, max-forget, TRIAL@EPOCH, or an alias (knee-05).")
    ] = "knee",
    fraction: Fraction = None,
    min_utility: Annotated[
        float | None,
        typer.Option(callback=require_share, help="Lowest share of the target model's utility, 0 to 1."),
    ] = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="METRIC=V", help="Upper bound on a metric. May be repeated."),
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="METRIC=V", help="Lower bound on a metric. May be repeated."),
    ] = None,
    max_relearn: Annotated[
        float | None, typer.Option(help="Highest forget ROUGE after relearning; needs an audited sweep.")
    ] = None,
    require: Annotated[
        str | None, typer.Option(metavar="VERDICT", help="Fail unless the verdict is this one (forgotten).")
    ] = None,
    tracking_uri: TrackingUri = None,
    study: Annotated[
        str | None, typer.Option(help="Study of the sweep, if several studies have one of this name.")
    ] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Download and verify a front checkpoint. An interrupted download resumes."""
    from dataclasses import asdict

    from letheon.checkpoints.select import Bound, checked_verdict, parse_bound
    from letheon.tracking.reader.partial import partial_path
    from letheon.tracking.reader.pull import DiskSpaceError, Request
    from letheon.tracking.reader.pull import pull as fetch
    from letheon.tracking.store.errors import TrackingError

    bounds = [parse_bound("max", text) for text in at_most or ()]
    bounds += [parse_bound("min", text) for text in at_least or ()]
    if max_relearn is not None:
        bounds.append(Bound("audit_relearn_forget_rouge", "max", max_relearn, "--max-relearn"))
    request = Request(select, fraction, min_utility, tuple(bounds), checked_verdict(require))
    try:
        pulled = fetch(name, to, root, request, tracking_uri, study)
    except (KeyboardInterrupt, TrackingError, DiskSpaceError):
        if partial_path(to).exists():
            print_error(f"the partial download is kept in {partial_path(to)}; the same command continues from there")
        raise
    if pulled.doubt is not None:
        print_error(f"warning: {pulled.doubt}")
    if json:
        print_json({**asdict(pulled), "path": str(pulled.path)})
        return
    checkpoint = f"{pulled.trial}@{pulled.epoch} of {pulled.sweep} (fraction {pulled.fraction})"
    typer.echo(f"{checkpoint}, {pulled.verdict}, is in {pulled.path}; its files are verified")
    typer.echo(pulled.how_to_load())


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder, such as one from `pull`.")],
    benchmark: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Use this sweep file's benchmark; default: the one the folder records."),
    ] = None,
    overrides: Overrides = None,
    fraction: Annotated[
        float | None,
        typer.Option(
            callback=require_share, help="Forget fraction; default: the folder's, with --benchmark the file's largest."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write every row, in the format of open-unlearning's TOFU_EVAL.json."),
    ] = None,
    json: Json = False,
) -> None:
    """Evaluate a model folder, next to its target and retain models if their metrics are known."""
    from letheon.api.evaluate import evaluate_model
    from letheon.cli.tables import metrics_table, verdict_line

    spec = None if benchmark is None else checked_spec(benchmark, overrides)
    result = evaluate_model(model, spec, fraction, out, print_error)
    if json:
        print_json(result)
        return
    verdict = verdict_line(result)
    print_parts([metrics_table(result), *(["", verdict] if verdict else [])])
    if "seconds" in result:
        print_error(f"evaluated in {result['seconds']:.1f} s")


@app.command("compare-logs")
def compare_logs(
    retain: Annotated[Path, typer.Argument(help="Evaluation log of the retain model.")],
    unlearned: Annotated[Path, typer.Argument(help="Evaluation log of the unlearned model.")],
    json: Json = False,
) -> None:
    """Compute forget quality and other metrics from two evaluation logs of open-unlearning or TOFU."""
    from letheon.cli.compare_logs import compare, report_parts

    report = compare(retain, unlearned)
    if json:
        print_json(report)
        return
    print_parts(report_parts(report))


@app.command()
def methods(
    name: Annotated[
        str | None,
        typer.Argument(help="A method, such as npo_rt, or your own file; default: all."),
    ] = None,
    json: Json = False,
) -> None:
    """List the unlearning methods: what each needs, and its hyper-parameters with ranges worth searching."""
    from letheon.cli.methods import method_parts, methods_json

    if json:
        print_json(methods_json(name))
        return
    print_parts(method_parts(name))


@app.command()
def new(
    kind: Annotated[Literal["method"], typer.Argument(help="What to write: a method.")],
    name: Annotated[str, typer.Argument(help="Its name, such as my_npo.")],
    to: Annotated[Path, typer.Option(help="The folder to write it to.")] = Path(),
) -> None:
    """Write a file with a method of your own to begin with, and its test."""
    from letheon.cli.methods import new_method

    file, test = new_method(name, to)
    typer.echo(f"wrote    {file}, {test}")
    typer.echo(f"test it  pytest {test}")
    typer.echo(f"use it   plugins: [{file}] and search.method: {name} in a sweep file")


@app.command()
def schema() -> None:
    """Print the JSON Schema of sweep files, for editors."""
    from letheon.spec.load import json_schema

    print_json(json_schema())


def _print_why_not(rows: Sequence[Row], checkpoint: str, goals: Goals, strata: Collection[str], json: bool) -> None:
    """Print why `checkpoint` (TRIAL or TRIAL@EPOCH) is not on the front. Raises NotFound if it is not in `strata`."""
    from letheon.analysis.why_not import why_not
    from letheon.analysis.why_not_text import in_words

    answer = why_not(rows, checkpoint, goals)
    stratum = answer.trial["stratum"]
    if stratum not in strata:
        raise NotFound(f"--why-not {checkpoint}: a trial of forget fraction {stratum}, not of {', '.join(strata)}")
    if json:
        print_json(answer.to_json())
        return
    for line in in_words(answer):
        typer.echo(line)
