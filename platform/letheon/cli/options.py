"""The `letheon` command itself, the options its verbs share, and how they find sweep files and sweeps."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import letheon
from letheon.api import arguments
from letheon.cli.output import OK, ErrorHandlingGroup, program
from letheon.spec.shipped import shipped_sweeps

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.sweep.sweep import Sweep


_HELP = "How much can a language model be made to forget before it breaks? Start with `letheon sweep quickstart`."

app = typer.Typer(
    cls=ErrorHandlingGroup,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)

SweepFile = Annotated[
    str, typer.Argument(help=f"A sweep file, or the name of a shipped one: {', '.join(shipped_sweeps())}.")
]
Name = Annotated[str, typer.Argument(help="Name of a sweep under the root.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY.PATH=VALUE",
        help="Override a value of the file; `null` removes it (search.beta=null). May be repeated.",
    ),
]


def require_folder(root: Path | str | None) -> Path | str | None:
    """Return the root unchanged. Raises LetheonError for an address."""
    if root is not None:
        arguments.require_folder(str(root))
    return root


def require_share(param: typer.CallbackParam, value: float | None) -> float | None:
    """Return the share unchanged. Raises LetheonError outside 0 to 1, for example for a percentage."""
    return arguments.require_share(param.opts[0], value)


Root = Annotated[
    Path,
    typer.Option(
        envvar=arguments.VARIABLE, callback=require_folder, help="Where models, caches, sweeps and records are kept."
    ),
]
Address = Annotated[
    str | None, typer.Option(help="The Ray cluster to use (ray://… or host:port); default: this machine.")
]
Server = Annotated[
    str | None,
    typer.Option("--address", help="For a cluster's sweep: its job server, http://host:8265; default: this machine."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TrackingUri = Annotated[
    str | None, typer.Option(help="The MLflow store; default: MLFLOW_TRACKING_URI, else the one under the root.")
]
Fraction = Annotated[float | None, typer.Option(callback=require_share, help="Only this forget fraction.")]


DEFAULT_ROOT = arguments.DEFAULT_ROOT


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"letheon {letheon.__version__}")
        raise typer.Exit(OK)


@app.callback(invoke_without_command=True)
def main(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def checked_spec(file: str, overrides: list[str] | None) -> SweepSpec:
    """The sweep file with its overrides. Raises SpecErrors for a bad file or data that cannot be read."""
    from letheon.spec.load import load_spec
    from letheon.spec.rules_benchmark import require_data

    spec = load_spec(file, overrides or (), import_plugins=True)
    require_data(spec)
    return spec


def delegate_to_cluster(address: str | None, root: Path, *arguments: str | None) -> None:
    """Given an address, run the verb on the cluster's head node, print its output and exit with its code."""
    if address is None:
        return
    from letheon.cluster.jobs import Jobs

    given = [one for one in arguments if one]
    code, text = Jobs(address).run_on_head([*given, *([] if root == DEFAULT_ROOT else ["--root", str(root)])])
    typer.echo(text, nl=False)
    raise typer.Exit(code)


def find(name: str, root: Path) -> Sweep:
    """The sweep of this name under the root."""
    from letheon.sweep.sweep import find_sweep

    return find_sweep(name, root)


def root_option(root: Path) -> str:
    """` --root …` for a printed command; empty for the default root."""
    return "" if root == DEFAULT_ROOT else f" --root {shlex.quote(str(root))}"


def resume_command(name: str, root: Path) -> str:
    """`letheon resume quickstart`."""
    return f"{program()} resume {name}{root_option(root)}"
