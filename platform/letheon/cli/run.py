"""The verbs that run something: plan, prepare, sweep, resume, audit."""

from __future__ import annotations

from json import dumps as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from letheon.cli.options import (
    DEFAULT_ROOT,
    Address,
    Json,
    Name,
    Overrides,
    Root,
    SweepFile,
    app,
    checked_spec,
    find,
    root_option,
)
from letheon.cli.output import (
    BAD_INPUT,
    FAILED,
    OK,
    console,
    interrupted,
    print_error,
    print_json,
    print_parts,
    wide_console,
)

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.sweep.finish import Outcome


@app.command()
def plan(
    file: SweepFile,
    overrides: Overrides = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="If earlier work does not tell how long it takes, run a few steps first.")
    ] = False,
    root: Root = DEFAULT_ROOT,
    address: Address = None,
    json: Json = False,
) -> None:
    """Check a sweep file; list the trials, rungs and models it needs. Starts nothing, unless with --measure."""
    from letheon.common.errors import SpecErrors
    from letheon.sweep.plan import Plan, plan_on

    try:
        spec = checked_spec(file, overrides)
        if measure:
            _measure(spec, root, address, json)
        made = plan_on(spec, root, address)
    except SpecErrors as error:
        if not json:
            raise
        print_json(Plan(errors=error.problems).to_json())
        raise typer.Exit(error.exit_code) from None
    if json:
        print_json(made.to_json())
    else:
        from letheon.cli.plan import plan_lines, plan_table

        print_error(*made.errors)
        print_parts([plan_table(made), *plan_lines(made)])
    raise typer.Exit(BAD_INPUT if made.errors else OK)


def _measure(spec: SweepSpec, root: Path, address: str | None, json: bool) -> None:
    from rich.console import Console

    from letheon.monitor.progress import preparation_progress
    from letheon.preparation.speed_test import temporary_folder
    from letheon.sweep.plan_time import measure

    console = Console(stderr=True) if json else wide_console()
    with temporary_folder(root) as folder, preparation_progress(console, folder) as say:
        measure(spec, root, address, folder, say)


@app.command()
def prepare(file: SweepFile, overrides: Overrides = None, root: Root = DEFAULT_ROOT, address: Address = None) -> None:
    """Train the target and retain models a sweep needs, and evaluate them. Keeps those that exist."""
    from letheon.monitor.progress import preparation_progress
    from letheon.preparation.builder import folder_of_logs, prepare_only

    out, spec = console(), checked_spec(file, overrides)
    with preparation_progress(wide_console(), folder_of_logs(root.resolve())) as say:
        prepare_only(spec, root, address, say)
    out.print(f"everything is prepared; next: letheon sweep {file}")


@app.command()
def sweep(
    file: SweepFile,
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep; default: the file's name, with a number if taken.")
    ] = None,
    overrides: Overrides = None,
    warm_start: Annotated[
        list[str] | None, typer.Option(metavar="SWEEP", help="Also learn from this earlier sweep. May be repeated.")
    ] = None,
    root: Root = DEFAULT_ROOT,
    address: Address = None,
) -> None:
    """Run a sweep: prepare models, then search. Ctrl-C interrupts; `resume` continues."""
    from letheon.cluster.sizing import resolve_auto
    from letheon.monitor.progress import progress
    from letheon.spec.validate import require_name
    from letheon.sweep.run import run_sweep
    from letheon.sweep.sweep import Sweep, free_name

    earlier = [f"searcher.warm_start={json_text(list(warm_start))}"] if warm_start else []
    spec = checked_spec(file, [*(overrides or ()), *earlier])
    if name is not None:
        require_name(name)
    spec = resolve_auto(spec, address, console().print)  # the progress view counts GPUs
    chosen = name or free_name(root.resolve(), spec.name)
    with progress(wide_console(), Sweep(spec, chosen, root.resolve()).folder, spec) as (show, say):
        outcome = run_sweep(spec, root, chosen, address, show=show, say=say)
    _end(outcome, root)


@app.command()
def resume(name: Name, root: Root = DEFAULT_ROOT, address: Address = None) -> None:
    """Continue a sweep after an interrupt or a crash. Finished epochs are not run again."""
    from letheon.monitor.progress import progress
    from letheon.sweep.run import resume_sweep

    found = find(name, root)
    with progress(wide_console(), found.folder, found.spec) as (show, say):
        outcome = resume_sweep(name, root, address, show=show, say=say)
    _end(outcome, root)


def _end(outcome: Outcome, root: Path) -> None:
    """Print the fronts and what to do next. Raises typer.Exit unless the sweep finished with a feasible point."""
    from letheon.cli.tables import front_tables, outcome_lines

    print_parts(front_tables(outcome.front), soft_wrap=False)
    print_parts(outcome_lines(outcome, root_option(root)))
    if outcome.problem is not None:
        print_error(outcome.problem)
    if outcome.state == "interrupted":
        raise interrupted()
    if outcome.problem is not None:
        raise typer.Exit(FAILED)
    if not any(stratum["points"] for stratum in outcome.front["strata"].values()):
        print_error(
            "no feasible point: every checkpoint lost its utility, forgot too much or forgot nothing; "
            "`letheon front` shows the closest ones with their verdicts"
        )
        raise typer.Exit(FAILED)


@app.command()
def audit(name: Name, root: Root = DEFAULT_ROOT, address: Address = None, json: Json = False) -> None:
    """Attack each front checkpoint of a finished sweep, and the retain models to compare. Skips finished attacks."""
    from rich.console import Console

    from letheon.journal import Journal
    from letheon.monitor.progress import preparation_progress
    from letheon.sweep.audit import audit_facts, audit_sweep

    found = find(name, root)
    with preparation_progress(Console(stderr=True) if json else wide_console(), found.folder) as say:
        outcome = audit_sweep(found, address, say)
    facts = audit_facts(found, Journal.read(found.journal))
    if json:
        print_json(facts)
        return
    from letheon.cli.tables import audit_tables

    print_parts(audit_tables(facts), soft_wrap=False)
    if outcome.html is not None:
        print_parts(["", f"report      {outcome.html}", f"records     {outcome.tracking}"])
