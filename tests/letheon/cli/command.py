"""Runs the command in this process, over a root with one finished sweep."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from letheon.cli import app


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
