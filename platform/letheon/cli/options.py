"""The `letheon` command itself, the options its verbs share, and how they find sweep files and sweeps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import letheon
from letheon.cli.output import OK, ErrorHandlingGroup, program
from letheon.common.errors import LetheonError
from letheon.common.redaction import redact
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
    """Return the root unchanged. Raises LetheonError for an address, which as a path would be a folder named `s3:`."""
    if root is not None and (found := re.match(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.*)", str(root))):
        raise LetheonError(
            f"root {redact('{scheme}://{rest}'.format(**found.groupdict()))}: must be a folder, because journals are "
            "appended to, locked and synced to disk; use one that every node mounts (NFS, EFS, Lustre); for artifacts "
            "in a bucket set MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://bucket"
        )
    return root


def require_share(param: typer.CallbackParam, value: float | None) -> float | None:
    """Return the share unchanged. Raises LetheonError outside 0 to 1, for example for a percentage."""
    if value is not None and not 0 <= value <= 1:
        example = value / 100 if 1 < value <= 100 else 0.95  # noqa: PLR2004 (percent)
        raise LetheonError(
            f"{param.opts[0]} {value:g}: must be a share, 0 to 1; write {example:g} for {100 * example:g}%"
        )
    return value


Root = Annotated[
    Path,
    typer.Option(
        envvar="LETHEON_ROOT", callback=require_folder, help="Where models, caches, sweeps and records are kept."
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
DEFAULT_ROOT = Path(".letheon")


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
