"""Pictures of a sweep's fronts: a PNG and a self-contained HTML page. Importing this does not load matplotlib."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from letheon.report.page import html_report
from letheon.report.plot import plot_front

__all__ = ["html_report", "plot_front", "write_html", "write_report"]


def write_html(path: Path, front: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the page to `path`, whole or not at all; returns its text."""
    page = html_report(front, rows, plot_front(front, rows, "light"), plot_front(front, rows, "dark"))
    _write(path, page.encode())
    return page


def write_report(folder: Path, front: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, bytes | str]:
    """Write `front.png` and `front.html` into `folder`; returns name -> content, as `Tracker.finish` takes it."""
    picture = plot_front(front, rows)
    _write(folder / "front.png", picture)
    return {"front.png": picture, "front.html": write_html(folder / "front.html", front, rows)}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
