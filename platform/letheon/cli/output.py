"""What the command prints and how it ends: JSON, clean error lines, exit codes. Knows no verb."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from letheon.common.errors import LetheonError
from letheon.common.stop_request import EXIT_CODE

if TYPE_CHECKING:
    from rich.console import Console

OK, BAD_INPUT, FAILED, NOT_FOUND, UNVERIFIED, INTERRUPTED = 0, 2, 3, 4, 5, EXIT_CODE
MAX_WIDTH = 120


class ErrorHandlingGroup(TyperGroup):
    """Expected errors become lines on stderr and an exit code; defects keep their traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # Typer's context is what Typer passes
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except LetheonError as error:
            print_error(*error.lines)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # who read the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OK) from None
        except ConnectionError as error:
            print_error(f"no connection: {error}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def print_error(*lines: str) -> None:
    """To stderr, one line each."""
    for line in lines:
        typer.echo(line, err=True)


def print_json(data: object, indent: int | None = 2) -> None:
    """One JSON value to stdout; numbers that are not finite are null."""
    from letheon.journal import jsonable

    plain = jsonable({"": data})[""]
    typer.echo(json.dumps(plain, indent=indent, allow_nan=False, ensure_ascii=False))


def console() -> Console:
    """Standard output, at most 120 columns wide; 120 where there is no terminal."""
    out = wide_console()
    out.width = min(out.width, MAX_WIDTH) if out.is_terminal else MAX_WIDTH
    return out


def wide_console() -> Console:
    """Standard output as wide as the terminal is, for pictures that know how to use it."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            """Rich exits with 1; who read the output has seen enough."""
            raise BrokenPipeError

    return Screen(highlight=False, markup=False)
