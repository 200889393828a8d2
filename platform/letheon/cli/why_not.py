"""`letheon front NAME --why-not TRIAL`: why a trial or a checkpoint is not on the front."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import typer

from letheon.analysis.why_not import why_not
from letheon.analysis.why_not_text import in_words
from letheon.cli.output import print_json
from letheon.common.errors import NotFound
from letheon.journal import Row
from letheon.pareto.objectives import Goals


def print_why_not(rows: Sequence[Row], asked: str, goals: Goals, strata: Collection[str], json: bool) -> None:
    """The answer as sentences or JSON. `strata`: those that are asked about; NotFound for a trial of another one."""
    answer = why_not(rows, asked, goals)
    stratum = answer.trial["stratum"]
    if stratum not in strata:
        raise NotFound(f"--why-not {asked}: a trial of forget fraction {stratum}, not of {', '.join(strata)}")
    if json:
        print_json(answer.to_json())
        return
    for line in in_words(answer):
        typer.echo(line)
