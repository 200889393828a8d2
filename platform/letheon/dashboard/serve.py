"""Runs the dashboard's server on a port of this machine until Ctrl-C."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from letheon.common.errors import LetheonError

TOKEN_VARIABLE = "LETHEON_DASHBOARD_TOKEN"
MIN_TOKEN = 16
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class CannotServe(LetheonError):
    """The address is taken or not this machine's, or the token is too short."""


def serve(root: Path, host: str, port: int, say: Callable[[str], None], on_ready: Callable[[str], object]) -> None:
    """Serve the sweeps under `root` and in its tracking store until Ctrl-C.

    `on_ready` gets the address, including the token, once the port is open. Raises CannotServe.
    """
    import uvicorn

    from letheon.dashboard.app import create_app
    from letheon.dashboard.catalog import Catalog
    from letheon.dashboard.recorded import RecordedSweeps
    from letheon.tracking.reader.browse import Browser

    local = is_local(host)
    token = None if local else _make_token()
    options = "" if root == Path(".letheon") else f" --root {root}"
    catalog = Catalog(root.resolve(), RecordedSweeps(Browser(root.resolve()), options), options)
    listener = _listen(host, port)
    address = f"http://{'localhost' if local else _public_name(host)}:{listener.getsockname()[1]}/"
    app = create_app(catalog, token, LOCAL_NAMES if local else ("*",))
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    link = address if token is None else f"{address}?token={token}"
    say(f"dashboard   {link}")
    if token is not None:
        say("anyone with this address can read all sweeps; on an untrusted network put TLS in front of it")
    say("Ctrl-C ends the dashboard; sweeps continue")
    on_ready(link)
    with listener, suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def is_local(host: str) -> bool:
    """Whether only this machine can connect to that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _make_token() -> str:
    """The token from the environment, else a new one. Not an option, because all users can read the command line."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and len(token) < MIN_TOKEN:
        raise CannotServe(
            f"{TOKEN_VARIABLE}: has {len(token)} characters, needs at least {MIN_TOKEN}; "
            "leave it unset for a generated one"
        )
    return token or secrets.token_urlsafe(24)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # connections wait here until the server is ready
    except (OSError, OverflowError) as error:
        listener.close()
        fix = "choose another --port (0: any free one) or another --host"
        raise CannotServe(f"{host}:{port}: cannot listen there ({error}); {fix}") from error
    return listener


def _public_name(host: str) -> str:
    """The name under which a browser on another machine reaches this one."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
