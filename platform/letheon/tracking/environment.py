"""What a sweep ran with: versions, machine, and the commit of the working folder. Never environment variables."""

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
    """Package name -> version, of those that are installed; plus Python and letheon."""
    found = {"python": platform.python_version(), "letheon": letheon.__version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment(folder: Path) -> dict[str, Any]:
    """The driver's machine, every installed distribution, and git's word on `folder`."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "versions": versions(),
        "system": platform.platform(),
        "machine": {**machine(), "memory_bytes": pages, "gpus": gpus()},
        "git": git_commit(folder),
        "packages": dict(packages()),
    }


@cache
def packages() -> Mapping[str, str]:
    """Every installed distribution by name."""
    found = {each.metadata["Name"]: each.version for each in metadata.distributions() if each.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def gpus() -> list[str]:
    """Name, memory and driver of each GPU of this machine; empty without nvidia-smi."""
    lines = _run("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return [line.strip() for line in lines.splitlines()]


def labels(spec: Mapping[str, Any]) -> dict[str, str]:
    """What MLflow's search can ask a sweep's run for besides its parameters: tags, from the resolved spec."""
    search = spec.get("search") or {}
    found = {
        "benchmark": (spec.get("benchmark") or {}).get("name"),
        "model": (spec.get("model") or {}).get("base"),
        "searcher": (spec.get("searcher") or {}).get("name"),
        "scheduler": (spec.get("scheduler") or {}).get("name"),
        "methods": _several(search.get("method")),
        "fractions": _several(search.get("forget_fraction")),
    }
    return {f"letheon.{name}": str(value) for name, value in found.items() if value}


def _several(domain: object) -> str:
    """The values of a choice, or the one value."""
    values = domain.get("choice") if isinstance(domain, Mapping) else domain
    return ", ".join(map(str, values)) if isinstance(values, list | tuple) else "" if values is None else str(values)


def source_tags(folder: Path, sweep: str) -> dict[str, str]:
    """Who started it, what, and from which commit: the tags that MLflow's own clients set."""
    git = git_commit(folder)
    tags = {"mlflow.user": _user(), "mlflow.source.name": f"letheon sweep {sweep}", "mlflow.source.type": "LOCAL"}
    if git:
        tags |= {"mlflow.source.git.commit": git["commit"], "letheon.git_dirty": git["dirty"]}
        tags |= {"mlflow.source.git.branch": git["branch"], "mlflow.source.git.repoURL": git["remote"]}
    return {key: value for key, value in tags.items() if value}


def git_commit(folder: Path) -> dict[str, str]:
    """`commit`, `dirty`, `branch` and `remote` (without credentials) of the work tree that holds the folder; empty
    where there is none, or no git."""
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
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return ""
