"""MLflow's own server behind a proxy that lies: `python lying_server.py FOLDER`.

FOLDER/lie holds one JSON list, the lie's name and its arguments, and is read at every request; all else is answered by
MLflow. FOLDER/port is written when the server listens.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
Body = Iterable[bytes]
Reply = tuple[str, list[tuple[str, str]], Body]
Listed = list[dict[str, Any]]


def _file(path: str, size: int = 1) -> dict[str, Any]:
    return {"path": path, "is_dir": False, "file_size": size}


def _resized(files: Listed, size: int) -> Listed:
    return [{**one, "file_size": size} if one["path"].endswith(".safetensors") else one for one in files]


# Lies about the content of a folder, as functions of its true listing.
LISTINGS: dict[str, Callable[[Listed], Any]] = {
    "extra": lambda files: [*files, _file("generation_config.json")],
    "code": lambda files: [*files, _file("modeling_x.py")],
    "pickle": lambda files: [*files, _file("pytorch_model.bin")],
    "parent": lambda files: [*files, _file("../../../x.json")],
    "absolute": lambda files: [*files, _file("/etc/x.json")],
    "control": lambda files: [*files, _file("a\x1b[2Jb\n.json")],
    "nul": lambda files: [*files, _file("a\x00.json")],
    "twice": lambda files: files + files,
    "nothing": lambda files: [],
    "smaller": lambda files: _resized(files, 1),
    "larger": lambda files: _resized(files, 2**40),
    "negative": lambda files: _resized(files, -1),
    "deeper": lambda files: [{"path": "x", "is_dir": True}],
    "many": lambda files: [_file(f"{index}.json") for index in range(20_000)],
    "long": lambda files: [_file("x" * 100_000 + ".json")],
    "shapeless": lambda files: {"a": 1},
    "wordless": lambda files: [{"is_dir": False}],
}


def _stall(start: bytes) -> Iterator[bytes]:
    yield start
    time.sleep(600)


def _forever(chunk: bytes) -> Iterator[bytes]:
    while True:
        yield chunk


def _body(name: str, honest: bytes, arguments: list[Any]) -> Reply | None:
    """The reply to a download."""
    right = [("Content-Length", str(len(honest)))]
    replies: dict[str, Callable[[], Reply]] = {
        "breaks": lambda: ("200 OK", right, [honest[: len(honest) // 2]]),
        "stalls": lambda: ("200 OK", right, _stall(honest[: len(honest) // 2])),
        "short": lambda: ("200 OK", [("Content-Length", str(len(honest) // 2))], [honest[: len(honest) // 2]]),
        "changed": lambda: ("200 OK", right, [honest[:-1] + bytes([honest[-1] ^ 1])]),
        "longer": lambda: ("200 OK", [("Content-Length", str(2**40))], _forever(bytes(2**16))),
        "endless": lambda: ("200 OK", [], _forever(bytes(2**16))),
        "bomb": lambda: ("200 OK", [("Content-Encoding", "gzip")], [gzip.compress(bytes(2**28))]),
        "redirect": lambda: ("302 Found", [("Location", str(arguments[0])), ("Content-Length", "0")], []),
        "redirect-308": lambda: ("308 Permanent Redirect", [("Location", str(arguments[0]))], _forever(b"x")),
        "gone": lambda: ("404 Not Found", [], _forever(b"x" * 2**16)),
        "teapot": lambda: ("418 I'm a teapot", [], _forever(b"x" * 2**16)),
        "html": lambda: ("200 OK", [], [b"<html>Please log in</html>"]),
    }
    return replies[name]() if name in replies else None


class Liar:
    """A WSGI application in front of MLflow's."""

    def __init__(self, honest: Any, folder: Path) -> None:
        self._honest, self._folder = honest, folder

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Body:
        name, *arguments = json.loads((self._folder / "lie").read_text())
        status, headers, body = self._lie(environ, name, arguments) or self._ask(environ)
        start(status, headers)
        return body

    def _ask(self, environ: dict[str, Any]) -> Reply:
        heard: list[Any] = []
        body = b"".join(self._honest(environ, lambda status, headers, _=None: heard.extend((status, headers))))
        return heard[0], heard[1], [body]

    def _lie(self, environ: dict[str, Any], name: str, arguments: list[Any]) -> Reply | None:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if environ["REQUEST_METHOD"] != "GET":
            return None
        if path == ARTIFACTS and "checkpoints" in query:
            return self._list(environ, name)
        if path.startswith(ARTIFACTS) and path.endswith(".safetensors"):
            if name == "breaks-once":
                (self._folder / "lie").write_text('["none"]')
            return _body(name.removesuffix("-once"), b"".join(self._ask(environ)[2]), arguments)
        if path.startswith(ARTIFACTS) and path.endswith("manifest.json") and name.startswith("manifest-"):
            return _body(name.removeprefix("manifest-"), b"".join(self._ask(environ)[2]), arguments)
        if path.endswith("/runs/get") and name == "elsewhere":
            run = json.loads(b"".join(self._ask(environ)[2]))
            run["run"]["info"]["artifact_uri"] = arguments[0]
            return _json(run)
        return None

    def _list(self, environ: dict[str, Any], name: str) -> Reply | None:
        if name in LISTINGS:
            honest = json.loads(b"".join(self._ask(environ)[2]))
            return _json({"files": LISTINGS[name](honest.get("files", []))})
        raw: dict[str, Body] = {
            "no-json": [b"<html>"],
            "abyss": [b'{"files":' + b"[" * 10**6],
            "flood": _forever(b'{"files":[' + b" " * 2**16),
        }
        return ("200 OK", [("Content-Type", "application/json")], raw[name]) if name in raw else None


def _json(content: object) -> Reply:
    return "200 OK", [("Content-Type", "application/json")], [json.dumps(content).encode()]


def main() -> None:
    """Serve until the process is ended."""
    folder = Path(sys.argv[1])
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    from mlflow.server import app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, Liar(app, folder), threaded=True)
    (folder / "port.new").write_text(str(server.server_port))
    os.replace(folder / "port.new", folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main()
