"""The verbs of the `letheon` command. A verb reads its options, calls one module and prints what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import letheon
from letheon.cli.output import BAD_INPUT, FAILED, INTERRUPTED, OK, Verbs, complain, console, print_json

if TYPE_CHECKING:
    from letheon.spec import SweepSpec
    from letheon.sweep import Outcome, Sweep

app = typer.Typer(
    cls=Verbs,
    help="How much can a language model be made to forget before it breaks?",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)

Space = Annotated[str, typer.Argument(help="A sweep file, or the name of one that ships with Letheon: quickstart.")]
Name = Annotated[str, typer.Argument(help="Name of a sweep under the root.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override the file; may be repeated.")
]
Root = Annotated[Path, typer.Option(envvar="LETHEON_ROOT", help="Where models, caches, sweeps and records are kept.")]
Address = Annotated[str | None, typer.Option(help="A running Ray cluster (ray://… or host:port); none: this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Fraction = Annotated[float | None, typer.Option(help="Only this forget fraction.")]
DEFAULT_ROOT = Path(".letheon")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"letheon {letheon.__version__}")
        raise typer.Exit(OK)


@app.callback(invoke_without_command=True)
def main(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """How much can a language model be made to forget before it breaks?"""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def _spec(space: str, overrides: list[str] | None) -> SweepSpec:
    """The sweep file, after its data were found to be there."""
    from letheon.spec import load_spec
    from letheon.spec_benchmark import require_data

    spec = load_spec(space, overrides or ())
    require_data(spec)
    return spec


def _find(name: str, root: Path) -> Sweep:
    from letheon.sweep import find_sweep

    return find_sweep(name, root)


@app.command()
def plan(space: Space, overrides: Overrides = None, root: Root = DEFAULT_ROOT, json: Json = False) -> None:
    """Validate a sweep file and say what it would do. Starts nothing."""
    from letheon.errors import SpecErrors
    from letheon.plan import Plan, make_plan

    try:
        made = make_plan(_spec(space, overrides), root)
    except SpecErrors as error:
        if not json:
            raise
        print_json(Plan(errors=error.problems).to_json())
        raise typer.Exit(error.exit_code) from None
    if json:
        print_json(made.to_json())
    else:
        from letheon.cli.tables import plan_lines, plan_table

        out = console()
        out.print(plan_table(made), *plan_lines(made), sep="\n")
        complain(*made.errors)
    raise typer.Exit(BAD_INPUT if made.errors else OK)


@app.command()
def prepare(space: Space, overrides: Overrides = None, root: Root = DEFAULT_ROOT, address: Address = None) -> None:
    """Make target and retain models and their baseline evaluations, as far as they are missing."""
    from letheon.cli.prepare import prepare_only

    out = console()
    prepare_only(_spec(space, overrides), root, address, say=out.print)
    out.print(f"everything is prepared; next: letheon sweep {space}")


@app.command()
def sweep(
    space: Space,
    name: Annotated[str | None, typer.Option(help="Name of the sweep; none: the file's name, numbered.")] = None,
    overrides: Overrides = None,
    root: Root = DEFAULT_ROOT,
    address: Address = None,
) -> None:
    """Prepare and search; Ctrl-C stops, `resume` goes on."""
    from letheon.progress import progress
    from letheon.space import trial_count
    from letheon.spec_rules import require_name
    from letheon.sweep import run_sweep

    spec = _spec(space, overrides)
    if name is not None:
        require_name(name)
    with progress(console(), trial_count(spec)) as (show, say):
        outcome = run_sweep(spec, root, name, address, show=show, say=say)
    _end(outcome, root)


@app.command()
def resume(name: Name, root: Root = DEFAULT_ROOT, address: Address = None) -> None:
    """Go on with a sweep that was interrupted, after any kind of crash."""
    from letheon.progress import progress
    from letheon.space import trial_count
    from letheon.sweep import resume_sweep

    with progress(console(), trial_count(_find(name, root).spec)) as (show, say):
        outcome = resume_sweep(name, root, address, show=show, say=say)
    _end(outcome, root)


def _end(outcome: Outcome, root: Path) -> None:
    """What a sweep prints last, and its exit code."""
    from letheon.cli.tables import front_tables, outcome_lines

    out = console()
    for part in front_tables(outcome.front):
        out.print(part)
    option = "" if root == DEFAULT_ROOT else f" --root {root}"
    for line in outcome_lines(outcome, option):
        out.print(line, soft_wrap=True)
    if outcome.state == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not any(stratum["points"] for stratum in outcome.front["strata"].values()):
        complain("no feasible point: no checkpoint kept enough utility; lower search.learning_rate or add retain terms")
        raise typer.Exit(FAILED)


@app.command()
def status(
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", help="Until the sweep ends or Ctrl-C.")] = False,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Trials of a sweep: what runs, what ended and why."""
    from letheon.cli.watch import watch_status
    from letheon.records import status_of
    from letheon.space import trial_count

    found = _find(name, root)
    if watch:
        watch_status(found.folder, console(), trial_count(found.spec), as_json=json)
        return
    state = status_of(found.folder)
    if json:
        print_json(state.to_json())
        return
    from letheon.cli.tables import status_line, status_table

    console().print(status_table(state), "", status_line(state), sep="\n")


@app.command()
def explain(
    name: Name,
    trial: Annotated[str, typer.Argument(help="For example t007.")],
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Why a trial went on or was stopped, rung by rung."""
    from letheon.explain import explain as facts
    from letheon.explain import in_words
    from letheon.records import Journal

    rows = Journal.read(_find(name, root).journal)
    if json:
        print_json(facts(rows, trial))
        return
    for line in in_words(rows, trial):
        typer.echo(line)


@app.command()
def front(
    name: Name,
    fraction: Fraction = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report, one HTML file.")] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """The checkpoints that no other beats in both forgetting and utility, per forget fraction."""
    found, rows = _front(name, root, fraction)
    if html is not None:
        from letheon.report import write_html

        write_html(html, found, rows)
    if json:
        print_json(found)
        return
    from letheon.cli.tables import front_tables

    out = console()
    for part in front_tables(found):
        out.print(part)


def _front(name: str, root: Path, fraction: float | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The front now, of one fraction if it is given, and the journal behind it."""
    from letheon.errors import NotFound
    from letheon.front import front_of
    from letheon.records import Journal, stratum_of

    found = _find(name, root)
    rows = Journal.read(found.journal)
    result = front_of(rows, name, found.goals)
    if fraction is not None:
        strata = result["strata"]
        if stratum_of(fraction) not in strata:
            there = ", ".join(strata) or "none yet"
            raise NotFound(f"--fraction {fraction:g}: not in sweep {name!r}; its fractions: {there}")
        result["strata"] = {stratum_of(fraction): strata[stratum_of(fraction)]}
    return result, rows


@app.command()
def pull(
    name: Name,
    to: Annotated[Path, typer.Option(metavar="DIR", help="A folder that does not exist yet.")],
    select: Annotated[str, typer.Option(help="knee, max-utility, max-forget or TRIAL@EPOCH.")] = "knee",
    fraction: Fraction = None,
    min_utility: Annotated[float | None, typer.Option(help="At least this share of the target's utility.")] = None,
    root: Root = DEFAULT_ROOT,
    json: Json = False,
) -> None:
    """Download a front checkpoint, verify it, and move it into place last."""
    from dataclasses import asdict

    from letheon.checkpoints import Request
    from letheon.checkpoints import pull as fetch

    pulled = fetch(name, to, root, Request(select, fraction, min_utility))
    if json:
        print_json({**asdict(pulled), "path": str(pulled.path)})
        return
    typer.echo(f"{pulled.trial}@{pulled.epoch} of {name} (fraction {pulled.fraction}), verified, is in {pulled.path}")
    typer.echo(pulled.how_to_load())


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
    """Metrics of a model folder."""
    from letheon.cli.evaluate import evaluate_model

    result = evaluate_model(model, None if benchmark is None else _spec(benchmark, overrides), fraction, out)
    if json:
        print_json(result)
        return
    for key, value in result["metrics"].items():
        typer.echo(f"{key:24} {value:.6g}" if isinstance(value, float) else f"{key:24} {value}")


@app.command("compare-logs")
def compare_logs(
    retain: Annotated[Path, typer.Argument(help="Evaluation log of the retain model.")],
    unlearned: Annotated[Path, typer.Argument(help="Evaluation log of the unlearned model.")],
    json: Json = False,
) -> None:
    """Forget quality and all that can be had from two evaluation logs of open-unlearning or TOFU."""
    from letheon.cli.logs import compare, report_parts

    report = compare(retain, unlearned)
    if json:
        print_json(report)
        return
    out = console()
    for part in report_parts(report):
        out.print(part, soft_wrap=isinstance(part, str))


@app.command()
def schema() -> None:
    """JSON Schema of a sweep file, for editors."""
    from letheon.spec import json_schema

    print_json(json_schema())
