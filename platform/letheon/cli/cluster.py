"""The verbs for a cluster: submit a sweep as a job, stop one, and check what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from letheon.cli.options import (
    DEFAULT_ROOT,
    Address,
    Json,
    Name,
    Overrides,
    Root,
    Server,
    app,
    find,
    require_folder,
)
from letheon.cli.output import FAILED, OK, print_error, print_json

if TYPE_CHECKING:
    from letheon.doctor.finding import Finding

JobServer = Annotated[
    str,
    typer.Option("--address", envvar="RAY_API_SERVER_ADDRESS", help="The cluster's job server (http://host:8265)."),
]
DEFAULT_SERVER = "http://127.0.0.1:8265"


@app.command()
def submit(
    file: Annotated[
        str, typer.Argument(help="A sweep file, or the name of a shipped one; with --resume, the name of a sweep.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep and of the job; default: the file's name.")
    ] = None,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a sweep of the cluster.")] = False,
    address: JobServer = DEFAULT_SERVER,
    root: Annotated[
        str | None,
        typer.Option(callback=require_folder, help="Root folder on the cluster; default: its LETHEON_ROOT."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Show the job's output until it ends.")] = True,
) -> None:
    """Run a sweep as a job on a cluster. It keeps running when this machine disconnects."""
    from letheon.cluster.jobs import Jobs, resume_job, sweep_job
    from letheon.spec.load import PLUGINS, dump_spec, load_spec, with_texts
    from letheon.spec.validate import require_name

    if resume:
        sweep, entrypoint = file, resume_job(file, root)
    else:
        spec = load_spec(file, overrides or (), import_plugins=True)
        sweep = name or spec.name
        files = {f"{PLUGINS}/{each.name}": each.text for each in with_texts(spec.plugins) if each.text is not None}
        entrypoint = sweep_job(dump_spec(spec), sweep, root, files)
    require_name(sweep)
    job = Jobs(address).submit(sweep, entrypoint)
    typer.echo(f"submitted   {job}")
    typer.echo(f"watch it    letheon status {sweep} --watch --address {address}")
    typer.echo(f"stop it     letheon stop {sweep} --address {address}")
    if wait:
        follow(address, sweep)


def follow(address: str, sweep: str | None) -> NoReturn:
    """Show the output of the sweep's job until the job ends or the user presses Ctrl-C, then exit.

    Raises UnknownJob without a sweep, or if the cluster has no job for it.
    """
    from letheon.cluster.jobs import Jobs, UnknownJob

    if sweep is None:
        raise UnknownJob("status --watch --address: follows one sweep at a time; give its name")
    jobs = Jobs(address)
    job = str(jobs.newest(sweep).submission_id)
    try:
        status = jobs.follow(job, partial(typer.echo, nl=False))
    except KeyboardInterrupt:
        typer.echo(f"\nthe sweep continues; stop it: letheon stop {sweep} --address {address}")
        raise typer.Exit(OK) from None
    if status != "SUCCEEDED":
        print_error(f"job {job} ended as {status}; continue it: letheon submit {sweep} --resume --address {address}")
        raise typer.Exit(FAILED)
    raise typer.Exit(OK)


@app.command()
def stop(name: Name, address: Server = None, root: Root = DEFAULT_ROOT) -> None:
    """Interrupt a running sweep, as Ctrl-C does; `resume` continues."""
    if address is not None:
        from letheon.cluster.jobs import Jobs

        typer.echo(f"{name} ended as {Jobs(address).stop(name)}; continue: letheon submit {name} --resume")
        return
    _stop_local(find(name, root).folder, name)


@app.command()
def doctor(
    root: Root = DEFAULT_ROOT,
    address: Address = None,
    json: Json = False,
    fast_paths: Annotated[
        bool, typer.Option("--fast-paths", help="Only compare each fast path with the plain one on this device.")
    ] = False,
) -> None:
    """Check this machine or a cluster: versions, devices, storage, tracking, tokens, ports, clocks."""
    if fast_paths:
        _check_fast_paths(json)
        raise typer.Exit(OK)
    from letheon.doctor.checkup import checkup
    from letheon.doctor.finding import worst

    findings = []
    with _progress_line(quiet=json) as say:
        for finding in checkup(root, address, say):
            findings.append(finding)
            if not json:
                _print_finding(finding)
    if json:
        print_json([finding.to_json() for finding in findings])
    raise typer.Exit(FAILED if worst(findings) == "failed" else OK)


def _check_fast_paths(json: bool) -> None:
    from dataclasses import asdict

    from letheon.doctor.fast_paths import HEADER, checks, line

    if json:
        print_json([asdict(found) for found in checks()])
        return
    typer.echo(HEADER)
    for found in checks():
        typer.echo(line(found))


@contextmanager
def _progress_line(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the current check on stderr: in place on a terminal, else as lines."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False)
    if quiet or not console.is_terminal:
        yield lambda text: None if quiet else print_error(f"… {text}")
        return
    with console.status("") as status:
        yield status.update


def _print_finding(finding: Finding) -> None:
    typer.echo(f"{finding.state:<9}{finding.check:<12}{finding.found}")
    if finding.fix:
        typer.echo(f"{'':<21}-> {finding.fix}")


def _stop_local(folder: Path, name: str) -> None:
    from letheon.api.driver import interrupt

    stopped = interrupt(folder)
    typer.echo(f"{name} has stopped; continue: letheon resume {name}" if stopped else f"{name} is not running")
