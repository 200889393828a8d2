"""The lock: exact releases from the index alone, none with a hole that is on record; and what an audit says of it."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"

# The first releases without these holes. What else is known is the audit's business.
FIRST_SOUND = {
    "ray": ("2.54.0", "CVE-2026-27482: jobs deleted through a browser; before 2.52 no authentication (CVE-2023-48022)"),
    "mlflow": ("3.11.0", "CVE-2026-2614, files read through model versions; CVE-2026-0545, jobs without a password"),
    "torch": ("2.6.0", "CVE-2025-32434: code run by torch.load in spite of weights_only"),
    "transformers": ("4.48.0", "CVE-2024-11392 to 11394: pickles loaded by model conversions"),
    "jinja2": ("3.1.6", "CVE-2025-27516: out of the sandbox that chat templates run in"),
    "pyyaml": ("5.4", "CVE-2020-14343: code run by the full loader"),
    "pyarrow": ("14.0.1", "CVE-2023-47248: code run by files of extension types"),
    "starlette": ("0.40.0", "CVE-2024-47874: memory filled by multipart forms"),
    "aiohttp": ("3.10.11", "CVE-2024-52304: requests smuggled past a proxy"),
    "requests": ("2.32.4", "CVE-2024-47081: passwords of .netrc sent to another host"),
    "urllib3": ("2.6.0", "CVE-2025-66471: decompression bombs"),
    "setuptools": ("78.1.1", "CVE-2025-47273: files written outside of the folder"),
}


def locked() -> dict[str, str]:
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines)
    return pins


def name_of(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_every_line_is_one_exact_release_from_the_index() -> None:
    pin = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.!+]*")
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert len(lines) > 100
    assert [line for line in lines if not pin.fullmatch(line)] == []  # no address, no option, no range
    names = [name_of(line.split("==")[0]) for line in lines]
    assert [name for name in names if names.count(name) > 1] == []


@pytest.mark.parametrize("package", FIRST_SOUND)
def test_no_locked_release_has_a_hole_on_record(package: str) -> None:
    first, why = FIRST_SOUND[package]
    found = {name_of(name): version for name, version in locked().items()}
    assert Version(found[package]) >= Version(first), why


def test_no_dependency_is_declared_by_an_address() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    assert [line for line in (*project["dependencies"], *extras) if "@" in line or "://" in line] == []


AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit_dependencies.py"))
GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not on the index"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([GOOD], 0, "no known vulnerability in 1 packages"),
        ([GOOD, BAD], 1, "b 2: PYSEC-1, fixed in 3\n1 known vulnerabilities in 2 packages"),
        ([GOOD, SKIPPED], 0, "no known vulnerability in 1 packages; 1 NOT AUDITED, first c"),
        ([SKIPPED], 0, "NOT AUDITED: no package was checked for known vulnerabilities (not on the index)"),
        ([], 0, "NOT AUDITED: no package was checked for known vulnerabilities (pip-audit looked at no package)"),
    ],
)
def test_what_an_audit_says(packages: list[dict[str, Any]], code: int, said: str) -> None:
    assert AUDIT["verdict"]({"dependencies": packages}) == (code, said)


def test_an_audit_that_could_not_be_made_does_not_pass_silently() -> None:
    code, said = AUDIT["verdict"](None, "Connection refused")
    assert (code, said) == (0, "NOT AUDITED: no package was checked for known vulnerabilities (Connection refused)")
