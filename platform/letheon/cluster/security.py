"""A Ray of this user alone: it listens on the loopback interface only, and its token and its files are in a folder that
nobody else may enter.

Ray decides these things from environment variables of the process that starts it, which those that it starts inherit.
Some it reads only once: where it listens when it is imported, its token when it first needs one.
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
TOKEN = "token"
_NOT_INHERITED = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
"""Unset, Ray asks for a token by default and reads it from the file. A cluster's must not be this session's."""


def ray_folder(folder: Path) -> Path:
    """Where Ray works below a session's folder. Ray opens it to everybody: the folder above keeps them out."""
    return folder / "ray"


@contextmanager
def loopback_only(folder: Path) -> Iterator[None]:
    """A Ray that is started within the block is closed to others. `folder`: of mode 0700, with room for the token. Its
    path is short, for the paths of sockets below it have 107 characters at most.

    Ray is to be imported within the block, not before. Threads of this process that start others meanwhile give them
    the same environment.
    """
    token = folder / TOKEN
    with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_token())
    values = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what gives Ray the address 127.0.0.1, on Linux too
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TMPDIR": str(folder),
        **LOOPBACK_INTERFACE,
    }
    with _only(values, without=_NOT_INHERITED):
        yield


@cache
def _token() -> str:
    """One per process, for all of its sessions: Ray keeps the first one that it has read."""
    return secrets.token_hex(32)


def warn_if_open() -> None:
    """Say so if the Ray that has been started here listens on all interfaces, as where it was imported too early."""
    import ray

    nodes: list[dict[str, str]] = ray.nodes()  # type: ignore[no-untyped-call]
    if any(node["NodeManagerAddress"] != LOOPBACK for node in nodes):
        log.warning("Ray listens on all interfaces, since it was imported before this session; its token guards it")


@contextmanager
def _only(values: Mapping[str, str], without: tuple[str, ...]) -> Iterator[None]:
    """The environment with these values, whatever the user has set, and without those."""
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


LOOPBACK_INTERFACE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
