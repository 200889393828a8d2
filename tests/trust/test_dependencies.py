"""No dependency comes from an address, and an audit that could not run says so instead of passing silently."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_no_dependency_is_declared_by_an_address() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    assert [line for line in (*project["dependencies"], *extras) if "@" in line or "://" in line] == []


AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit_dependencies.py"))
GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not on the index"}


@pytest.mark.parametrize(
    ("packages", "code", "output"),
    [
        ([GOOD], 0, "no known vulnerability in 1 packages"),
        ([GOOD, BAD], 1, "b 2: PYSEC-1, fixed in 3\n1 known vulnerabilities in 2 packages"),
        ([GOOD, SKIPPED], 0, "no known vulnerability in 1 packages; 1 NOT AUDITED, first c"),
        ([SKIPPED], 0, "NOT AUDITED: no package was checked for known vulnerabilities (not on the index)"),
        ([], 0, "NOT AUDITED: no package was checked for known vulnerabilities (pip-audit looked at no package)"),
        (None, 0, "NOT AUDITED: no package was checked for known vulnerabilities (Connection refused)"),
    ],
)
def test_an_audit_reports_vulnerabilities_and_packages_that_it_could_not_check(
    packages: list[dict[str, Any]] | None, code: int, output: str
) -> None:
    report, error = (None, "Connection refused") if packages is None else ({"dependencies": packages}, "")
    assert AUDIT["verdict"](report, error) == (code, output)
