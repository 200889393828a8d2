"""Records what a sweep ran with: versions, machine, and git commit. Never environment variables."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import letheon
from letheon.cluster.capacity import machine
from letheon.common.redaction import redact

ENVIRONMENT = "environment.json"
_PACKAGES = ("torch", "transformers", "deepspeed", "ray", "datasets", "mlflow", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python, letheon and the main packages, as far as installed."""
    found = {"python": platform.python_version(), "letheon": letheon.__version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment(folder: Path) -> dict[str, Any]:
    """The driver's machine, every installed distribution, and the git commit of `folder`."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "versions": versions(),
        "system": platform.platform(),
        "machine": {**machine(), "memory_bytes": memory, "gpus": _gpus()},
        "git": _git_commit(folder),
        "packages": dict(_packages()),
    }


@cache
def _packages() -> Mapping[str, str]:
    """Every installed distribution: name -> version."""
    found = {each.metadata["Name"]: each.version for each in metadata.distributions() if each.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _gpus() -> list[str]:
    """Name, memory and driver of each GPU; empty without nvidia-smi."""
    lines = _run("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return [line.strip() for line in lines.splitlines()]


def search_tags(spec: Mapping[str, Any]) -> dict[str, str]:
    """Tags by which MLflow's search finds a sweep's run, from the resolved spec."""
    search = spec.get("search") or {}
    found = {
        "benchmark": (spec.get("benchmark") or {}).get("name"),
        "model": (spec.get("model") or {}).get("base"),
        "searcher": (spec.get("searcher") or {}).get("name"),
        "scheduler": (spec.get("scheduler") or {}).get("name"),
        "methods": _values(search.get("method")),
        "fractions": _values(search.get("forget_fraction")),
    }
    return {f"letheon.{name}": str(value) for name, value in found.items() if value}


def _values(domain: object) -> str:
    """The values of a choice, or the single value; empty for a range."""
    values = domain.get("choice") if isinstance(domain, Mapping) else domain
    return ", ".join(map(str, values)) if isinstance(values, list | tuple) else "" if values is None else str(values)


def source_tags(folder: Path, sweep: str) -> dict[str, str]:
    """User, command and commit, in the tags that MLflow's own clients set."""
    git = _git_commit(folder)
    tags = {"mlflow.user": _user(), "mlflow.source.name": f"letheon sweep {sweep}", "mlflow.source.type": "LOCAL"}
    if git:
        tags |= {"mlflow.source.git.commit": git["commit"], "letheon.git_dirty": git["dirty"]}
        tags |= {"mlflow.source.git.branch": git["branch"], "mlflow.source.git.repoURL": git["remote"]}
    return {key: value for key, value in tags.items() if value}


def _git_commit(folder: Path) -> dict[str, str]:
    """`commit`, `dirty`, `branch` and `remote` (without credentials) of the folder's work tree; empty without one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "commit": commit,
        "dirty": str(bool(_git(folder, "status", "--porcelain"))).lower(),
        "branch": _git(folder, "branch", "--show-current"),
        "remote": redact(_git(folder, "remote", "get-url", "origin")),
    }


def _git(folder: Path, *arguments: str) -> str:
    return _run("git", "-C", str(folder), *arguments)


def _run(*command: str) -> str:
    """What the command prints; empty if it fails or is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user of some containers has no name
        return ""
