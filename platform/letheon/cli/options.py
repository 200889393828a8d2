"""The `letheon` command itself, the options that its verbs share, and how they find sweep files and sweeps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import letheon
from letheon.cli.output import OK, ErrorHandlingGroup
from letheon.common.errors import LetheonError
from letheon.common.redaction import redact
from letheon.spec.shipped import spaces

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.sweep.sweep import Sweep


class NotAFolder(LetheonError):
    """The root is an address of an object store or a server."""

    def __init__(self, scheme: str, rest: str) -> None:
        address = redact(f"{scheme}://{rest}")
        super().__init__(
            f"root {address}: must be a folder, for journals are appended to, locked and forced to disk; give one that "
            "every node mounts (NFS, EFS, Lustre); for artifacts in a bucket set MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://bucket"
        )


class NotAShare(LetheonError):
    """An option that takes a share was given something else, most often a percentage."""

    def __init__(self, option: str, value: float) -> None:
        meant = value / _PERCENT if 1 < value <= _PERCENT else 0.95
        super().__init__(f"{option} {value:g}: must be a share, 0 to 1; write {meant:g} for {_PERCENT * meant:g}%")


_PERCENT = 100

app = typer.Typer(
    cls=ErrorHandlingGroup,
    help="How much can a language model be made to forget before it breaks?",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)

Space = Annotated[
    str,
    typer.Argument(help=f"A sweep file, or the name of one that ships with Letheon: {', '.join(spaces())}."),
]
Name = Annotated[str, typer.Argument(help="Name of a sweep under the root.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override the file; `search.beta=null` removes."),
]


def require_folder(root: Path | str | None) -> Path | str | None:
    """The root as it is. Raises NotAFolder for an address: as a path it would be a local folder named `s3:`."""
    if root is not None and (found := re.match(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.*)", str(root))):
        raise NotAFolder(found["scheme"], found["rest"])
    return root


def share(param: typer.CallbackParam, value: float | None) -> float | None:
    """A share as it is. Raises NotAShare for a percentage."""
    if value is not None and not 0 <= value <= 1:
        raise NotAShare(param.opts[0], value)
    return value


Root = Annotated[
    Path,
    typer.Option(
        envvar="LETHEON_ROOT", callback=require_folder, help="Where models, caches, sweeps and records are kept."
    ),
]
Address = Annotated[str | None, typer.Option(help="A running Ray cluster (ray://… or host:port); none: this machine.")]
Server = Annotated[
    str | None, typer.Option("--address", help="Ask this cluster's job server, http://host:8265; none: this machine.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TrackingUri = Annotated[
    str | None, typer.Option(help="The tracking store; none: MLFLOW_TRACKING_URI, or the one under the root.")
]
Fraction = Annotated[float | None, typer.Option(callback=share, help="Only this forget fraction.")]
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


def checked_spec(space: str, overrides: list[str] | None) -> SweepSpec:
    """The sweep file, after its data were found to be there."""
    from letheon.spec.load import load_spec
    from letheon.spec.rules_benchmark import require_data

    spec = load_spec(space, overrides or ())
    require_data(spec)
    return spec


def delegate_to_cluster(address: str | None, root: Path, *arguments: str | None) -> None:
    """Where an address is given, let the cluster's head answer instead of this machine, and end with its exit code."""
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
    """What a command must be given to find this root: ` --root …`, or nothing."""
    return "" if root == DEFAULT_ROOT else f" --root {shlex.quote(str(root))}"


def resume_command(name: str, root: Path) -> str:
    """`letheon resume quickstart`."""
    from letheon.cli.tables import command

    return f"{command()} resume {name}{root_option(root)}"
