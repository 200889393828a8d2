"""A Ray of this user alone: it listens on the loopback interface only, and its token and its files are in a folder that
nobody else may enter.

Ray decides these things from environment variables of the process that starts it, which those that it starts inherit;
what it has read already in this process is set beside them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from letheon.meeting import LOOPBACK_INTERFACE

TOKEN = "token"
RAY = "r"  # short: the paths of sockets below it have 107 characters at most
_NOT_INHERITED = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
"""Unset, Ray asks for a token by default and reads it from the file. A cluster's must not be this session's."""


def ray_folder(folder: Path) -> Path:
    """Where Ray may work below a session's folder. Ray opens it to everybody: the folder above keeps them out."""
    return folder / RAY


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """A Ray that is started within the block is closed to others. `folder`: of mode 0700, with room for the token.

    Threads of this process that start others meanwhile give them the same environment.
    """
    token = folder / TOKEN
    with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    values = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what gives Ray the address 127.0.0.1, on Linux too
        "RAY_AUTH_TOKEN_PATH": str(token),
        **LOOPBACK_INTERFACE,
    }
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    with _only(values, without=_NOT_INHERITED):
        ray_constants.ENABLE_RAY_CLUSTER = False
        forget_token()
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = before


def forget_token() -> None:
    """Ray keeps in memory what it has read once: the next session of this process has another token."""
    from ray import _raylet

    raylet: Any = _raylet
    raylet.AuthenticationTokenLoader.instance().reset_cache()


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
