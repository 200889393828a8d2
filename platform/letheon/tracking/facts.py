"""What a sweep ran with: versions of the packages and the commit of the working folder. Never environment variables."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import letheon

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


def git_commit(folder: Path) -> dict[str, str]:
    """`commit` and `dirty` of the work tree that holds the folder; empty where there is none, or no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "dirty": str(bool(_git(folder, "status", "--porcelain"))).lower()}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
