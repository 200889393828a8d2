"""What the command prints and how it ends: JSON, error lines, exit codes. Independent of the verbs."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from letheon.common.errors import LetheonError
from letheon.common.stop_request import EXIT_CODE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OK, BAD_INPUT, FAILED, NOT_FOUND, UNVERIFIED, INTERRUPTED = 0, 2, 3, 4, 5, EXIT_CODE
MAX_WIDTH = 120


class ErrorHandlingGroup(TyperGroup):
    """Prints expected errors as lines on stderr and exits with their code; defects keep their traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # Typer's context is what Typer passes
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except LetheonError as error:
            print_error(*error.lines)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # the reader of the pipe closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OK) from None
        except ConnectionError as error:
            print_error(f"no connection: {error}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            raise interrupted() from None


_stopped = Event()
"""Set when this process ends because it was asked to."""


def interrupted() -> typer.Exit:
    """The end of a stopped command.

    Its threads may still be inside a library, where Python crashes (exit code -11) when it takes itself apart. So the
    process ends right after its exit handlers, which end Ray.
    """
    if sys.stdout is sys.__stdout__:  # not where a test calls the command within its own process
        _stopped.set()
    return typer.Exit(INTERRUPTED)


@atexit.register  # the first to register is the last to run
def _end_without_teardown() -> None:
    if not _stopped.is_set():
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader is gone, or it is closed
            stream.flush()
    os._exit(INTERRUPTED)


def print_error(*lines: str) -> None:
    """Print to stderr, one line each."""
    for line in lines:
        typer.echo(line, err=True)


def print_json(data: object, indent: int | None = 2) -> None:
    """Print one JSON value to stdout; numbers that are not finite become null."""
    from letheon.journal import jsonable

    plain = jsonable({"": data})[""]
    typer.echo(json.dumps(plain, indent=indent, allow_nan=False, ensure_ascii=False))


def console() -> Console:
    """Standard output, at most 120 columns wide; 120 without a terminal."""
    out = wide_console()
    out.width = min(out.width, MAX_WIDTH) if out.is_terminal else MAX_WIDTH
    return out


def print_parts(parts: Iterable[Table | str], soft_wrap: bool = True) -> None:
    """Print tables and lines. `soft_wrap`: leave long lines to the terminal."""
    out = console()
    for part in parts:
        out.print(part, soft_wrap=soft_wrap and isinstance(part, str))


def wide_console() -> Console:
    """Standard output as wide as the terminal, for layouts that use the full width."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            """Rich would exit with 1; the group above exits with 0."""
            raise BrokenPipeError

    return Screen(highlight=False, markup=False)


def program() -> str:
    """How to call this program: by name if the shell finds it, else by the path it was started with."""
    started = sys.argv[0]
    return "letheon" if shutil.which("letheon") or not started.endswith("letheon") else os.path.relpath(started)
