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
    """The address is taken or not this machine's, or the token is too weak."""


def serve(root: Path, host: str, port: int, say: Callable[[str], None], opened: Callable[[str], None]) -> None:
    """Serve the sweeps under `root` and in its tracking store. `opened` gets the address, with its token, once it
    answers.

    Raises:
        CannotServe.
    """
    import uvicorn

    from letheon.dashboard.app import create_app
    from letheon.dashboard.catalog import Library
    from letheon.dashboard.recorded import RecordedSweeps
    from letheon.tracking.reader.browse import Browser

    local = is_local(host)
    token = None if local else _token()
    options = "" if root == Path(".letheon") else f" --root {root}"
    library = Library(root.resolve(), RecordedSweeps(Browser(root.resolve()), options), options)
    listener = _listen(host, port)
    address = f"http://{'localhost' if local else _shown(host)}:{listener.getsockname()[1]}/"
    app = create_app(library, token, LOCAL_NAMES if local else ("*",))
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    link = address if token is None else f"{address}?token={token}"
    say(f"dashboard   {link}")
    if token is not None:
        say("anybody with this address can look; put TLS in front of it on a network that you do not trust")
    say("Ctrl-C ends it; sweeps go on")
    opened(link)
    with listener, suppress(KeyboardInterrupt):  # the way to end it
        server.run(sockets=[listener])


def is_local(host: str) -> bool:
    """Whether only this machine can connect."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token() -> str:
    """From the environment, never from an argument, which every user of the machine could read; else a new one."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and len(token) < MIN_TOKEN:
        raise CannotServe(
            f"{TOKEN_VARIABLE}: has {len(token)} characters, a token needs at least {MIN_TOKEN}; "
            "leave it unset to have one made"
        )
    return token or secrets.token_urlsafe(24)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # whoever comes before the server is ready waits for it
    except (OSError, OverflowError) as error:
        listener.close()
        fix = "choose another --port (0: any free one) or another --host"
        raise CannotServe(f"{host}:{port}: cannot be listened on ({error}); {fix}") from error
    return listener


def _shown(host: str) -> str:
    """A name that a browser elsewhere can use."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
