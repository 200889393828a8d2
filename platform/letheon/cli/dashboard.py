"""`letheon dashboard`: the web pages."""

from __future__ import annotations

from typing import Annotated

import typer

from letheon.cli.options import DEFAULT_ROOT, Root, app


@app.command()
def dashboard(
    root: Root = DEFAULT_ROOT,
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine a token is needed.")] = "localhost",
    port: Annotated[int, typer.Option(help="0: any free one.")] = 8400,
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Sweeps in the browser: live fronts, trials, checkpoints. Read-only."""
    import webbrowser

    from letheon.dashboard.serve import serve

    def opened(address: str) -> None:
        if browse:
            webbrowser.open(address)

    serve(root, host, port, typer.echo, opened)
