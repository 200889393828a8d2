"""Keeps a local Ray private to this user: it listens on the loopback interface only, and its token and files are in a
folder that no other user can open.

Ray takes these settings from environment variables of the process that starts it; the processes below inherit them. It
reads some only once: the listening address at import, the token at first use.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
LOOPBACK_INTERFACE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
TOKEN = "token"
_NOT_INHERITED = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
"""Without them Ray requires a token and reads it from the file. A cluster's token must not become this session's."""


def ray_folder(folder: Path) -> Path:
    """Ray's folder in a session's folder. Ray makes it readable for everyone, so the folder above must be private."""
    return folder / "ray"


@contextmanager
def loopback_only(folder: Path) -> Iterator[None]:
    """Make a Ray that is started within the block unreachable for other users.

    `folder`: mode 0700, for the token and Ray's files. Its path must be short: the paths of Ray's sockets below it may
    have 107 characters. Import Ray within the block, not before. The environment changes for the whole process.
    """
    token = folder / TOKEN
    with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_token())
    values = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # makes Ray use the address 127.0.0.1, on Linux too
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TMPDIR": str(folder),
        **LOOPBACK_INTERFACE,
    }
    with environment(values, without=_NOT_INHERITED):
        yield


@cache
def _token() -> str:
    """The same for all sessions of a process, since Ray keeps the first token that it reads."""
    return secrets.token_hex(32)


def warn_if_open() -> None:
    """Log a warning if the local Ray listens on all interfaces, which happens if it was imported too early."""
    import ray

    nodes: list[dict[str, str]] = ray.nodes()  # type: ignore[no-untyped-call]
    if any(node["NodeManagerAddress"] != LOOPBACK for node in nodes):
        log.warning("Ray listens on all interfaces because it was imported before this session; its token protects it")


@contextmanager
def environment(values: Mapping[str, str], without: tuple[str, ...] = ()) -> Iterator[None]:
    """Environment variables within the block: `values` are set, `without` are unset. Restores both afterwards."""
    names = (*values, *without)
    before = {name: os.environ.get(name) for name in names}
    for name in without:
        os.environ.pop(name, None)
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
