"""The dashboard over HTTP: static files, and views as JSON.

Read-only: only GET is answered. The content security policy lets pages load scripts and data from this server only,
and texts of a sweep never become markup.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from letheon.common.errors import LetheonError
from letheon.dashboard.catalog import Catalog

STATIC = Path(__file__).parent / "static"
COOKIE = "letheon_token"
POLL_SECONDS = 1.0
REST = 5.0
"""Poll intervals are at least this many times the view's build time, so building takes at most a fifth of a core."""
NOT_FOUND = 4

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def create_app(catalog: Catalog, token: str | None = None, hosts: Sequence[str] = ("*",)) -> Starlette:
    """The dashboard's application.

    `token`: required from every visitor; None: open to all who can connect. `hosts`: allowed host names, so that
    foreign pages cannot reach the server through a name of their own (DNS rebinding).
    """
    pages = _Pages(catalog)
    routes = [
        Route("/", pages.index),
        Route("/api/sweeps", pages.sweeps),
        Route("/api/sweeps/{key}", pages.sweep),
        Route("/api/sweeps/{key}/importance", pages.importance),
        Route("/api/sweeps/{key}/stamp", pages.stamp),
        Route("/api/sweeps/{key}/trials/{trial}", pages.trial),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        Middleware(Guard, token=token),
        Middleware(GZipMiddleware, minimum_size=2048, compresslevel=5),
    ]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={LetheonError: _explain})


class _Pages:
    """One method per route. They run in threads, so a slow store does not block other requests."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    def sweeps(self, _: Request) -> Response:
        return JSONResponse(self._catalog.sweeps())

    def sweep(self, request: Request) -> Response:
        """`?since=N`: only the trials with rows after row N."""
        view = self._catalog.view(request.path_params["key"])
        if since := _number(request.query_params.get("since")):
            view = {**view, "trials": [trial for trial in view["trials"] if trial["seq"] > since], "since": since}
        return JSONResponse(view)

    def importance(self, request: Request) -> Response:
        return JSONResponse(self._catalog.importance(request.path_params["key"]))

    def trial(self, request: Request) -> Response:
        return JSONResponse(self._catalog.trial(request.path_params["key"], request.path_params["trial"]))

    def stamp(self, request: Request) -> Response:
        """For polling: `stamp` differs after every change of the sweep, `activity` is what it does now (as in
        `status --json`), `pause` the seconds until the next poll."""
        key = request.path_params["key"]
        stamp = hashlib.sha256(repr(self._catalog.stamp(key)).encode()).hexdigest()[:16]
        pause = round(max(POLL_SECONDS, REST * self._catalog.build_seconds(key)), 2)
        activity = self._catalog.activity(key).to_json()
        return JSONResponse({"stamp": stamp, "pause": pause, "activity": activity})


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


async def _explain(_: Request, error: Exception) -> Response:
    """An expected error as one sentence, with status 404 or 503."""
    code = getattr(error, "exit_code", 0)
    return JSONResponse({"error": str(error)}, status_code=404 if code == NOT_FOUND else 503)


class Guard:
    """Refuses requests without the token, if there is one, and adds the security headers to every response."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = _refusal(Request(scope), self._token) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, with_headers)


def _refusal(request: Request, token: str | None) -> Response | None:
    """The response to send instead of the page; None if the request may see it."""
    if token is None:
        return None
    given = request.query_params.get("token")
    if given is not None and request.url.path == "/" and _same(given, token):
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if _same(request.cookies.get(COOKIE, ""), token) or _same(bearer, token):
        return None
    return PlainTextResponse("Open the address that `letheon dashboard` printed: its token is missing here.\n", 401)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
