"""What arguments in Python and options of the command must be."""

from __future__ import annotations

import os
import re
from pathlib import Path

from letheon.common.errors import LetheonError
from letheon.common.redaction import redact

VARIABLE = "LETHEON_ROOT"
DEFAULT_ROOT = Path(".letheon")


def root_folder(root: str | os.PathLike[str] | None) -> Path:
    """The absolute path of the root. Raises LetheonError for an address such as s3://."""
    given = os.fspath(root) if root is not None else os.environ.get(VARIABLE) or DEFAULT_ROOT
    require_folder(str(given))
    return Path(given).expanduser().resolve()


def require_folder(root: str) -> None:
    """Raises LetheonError for an address, which as a path would be a folder named `s3:`."""
    if found := re.match(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.*)", root):
        raise LetheonError(
            f"root {redact('{scheme}://{rest}'.format(**found.groupdict()))}: must be a folder, because journals are "
            "appended to, locked and synced to disk; use one that every node mounts (NFS, EFS, Lustre); for artifacts "
            "in a bucket set MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://bucket"
        )


def require_share(name: str, value: float | None) -> float | None:
    """Return the share unchanged. Raises LetheonError outside 0 to 1, for example for a percentage."""
    if value is not None and not 0 <= value <= 1:
        example = value / 100 if 1 < value <= 100 else 0.95  # noqa: PLR2004 (percent)
        raise LetheonError(f"{name} {value:g}: must be a share, 0 to 1; write {example:g} for {100 * example:g}%")
    return value
