"""Reads and hashes the code that a sweep file names. Imports none of it, but for the packages around a module."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from trainables.config import PluginConfig

MAX_BYTES = 1_000_000


class PluginError(Exception):
    """A plug-in cannot be used. `place`: its file and line, or its name."""

    def __init__(self, place: str, rule: str, fix: str) -> None:
        super().__init__(f"{place}: {rule}; {fix}")
        self.place, self.rule, self.fix = place, rule, fix


def pinned(plugin: PluginConfig) -> PluginConfig:
    """The plug-in with the SHA-256 of its code as it is now.

    Raises PluginError if there is no such code, or if it has another SHA-256 than `plugin` says.
    """
    found = _digest_of_module(plugin) if plugin.module is not None else hashlib.sha256(content_of(plugin)).hexdigest()
    if plugin.sha256 not in (None, found):
        where = plugin.file or f"module {plugin.module}"
        rule = f"has changed: its SHA-256 was {str(plugin.sha256)[:12]}…, and is {found[:12]}… now"
        raise PluginError(where, rule, "restore it, or start another sweep with the new version")
    return plugin.model_copy(update={"sha256": found})


def content_of(plugin: PluginConfig) -> bytes:
    """The content of a plug-in that is a file. Raises PluginError if it cannot be read."""
    if plugin.text is not None:
        return plugin.text.encode()
    file = str(plugin.file)
    if not file.endswith(".py"):
        raise PluginError(file, "is not a Python file", "name a .py file, or a module of an installed package")
    if not os.path.isfile(file):
        copied = plugin.source is not None
        fix = (
            f"restore it from {plugin.source}"
            if copied
            else "give the path of a .py file, from the sweep file's folder"
        )
        raise PluginError(file, "is not a file", fix)
    try:
        with open(file, "rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise PluginError(file, f"cannot be read ({error.strerror})", "make it readable") from error
    if len(content) > MAX_BYTES:
        raise PluginError(file, f"is larger than {MAX_BYTES} bytes", "a plug-in is a page of code")
    return content


def _digest_of_module(plugin: PluginConfig) -> str:
    """SHA-256 of the module's file or, in a package, of all .py files of that package with their names."""
    name = str(plugin.module)
    try:
        found = importlib.util.find_spec(name)
    except Exception as error:  # finding a submodule runs the packages around it
        raise PluginError(f"module {name}", f"cannot be found ({type(error).__name__}: {error})", _INSTALL) from error
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise PluginError(f"module {name}", "is not a Python module that is installed here", _INSTALL)
    file, package = Path(found.origin), "." in name or found.submodule_search_locations is not None
    files = sorted(file.parent.rglob("*.py")) if package else [file]
    total = hashlib.sha256()
    for each in files:
        total.update(f"{each.relative_to(file.parent)}\0".encode())
        total.update(hashlib.sha256(each.read_bytes()).digest())
    return total.hexdigest()


_INSTALL = "install its package here and on every node, or name a .py file"
