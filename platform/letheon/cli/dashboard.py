"""`letheon dashboard`: serves the web pages."""

from __future__ import annotations

from typing import Annotated

import typer

from letheon.cli.options import DEFAULT_ROOT, Root, app


@app.command()
def dashboard(
    root: Root = DEFAULT_ROOT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than localhost, visitors need the printed token.")
    ] = "localhost",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 8400,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show sweeps in the browser: live fronts, trials, checkpoints. Read-only."""
    import webbrowser

    from letheon.dashboard.serve import serve

    serve(root, host, port, typer.echo, on_ready=webbrowser.open if browse else lambda address: None)
