"""Known vulnerabilities in the packages of requirements.lock, by pip-audit: `python .ci/audit_dependencies.py`.

Ends with 1 for a vulnerability. Where pip-audit or the service that it asks cannot be had, it says that nothing was
audited and ends with 0: a machine without a network can still be worked on, but is not told that all is well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIP_AUDIT = "pip-audit==2.10.1"
SECONDS = 300


def verdict(report: dict[str, Any] | None, why: str = "") -> tuple[int, str]:
    """Exit code and what to say of pip-audit's JSON; None: it gave none, `why` is its last line."""
    packages = [] if report is None else report["dependencies"]
    audited = [package for package in packages if "vulns" in package]
    skipped = [package for package in packages if "skip_reason" in package]
    if not audited:
        reason = why or (skipped[0]["skip_reason"] if skipped else "pip-audit looked at no package")
        return 0, f"NOT AUDITED: no package was checked for known vulnerabilities ({reason})"
    found = [
        f"{package['name']} {package['version']}: {one['id']}, fixed in {', '.join(one['fix_versions']) or 'none'}"
        for package in audited
        for one in package["vulns"]
    ]
    rest = f"; {len(skipped)} NOT AUDITED, first {skipped[0]['name']}" if skipped else ""
    if found:
        return 1, "\n".join([*found, f"{len(found)} known vulnerabilities in {len(audited)} packages{rest}"])
    return 0, f"no known vulnerability in {len(audited)} packages{rest}"


def pip_audit(lock: Path) -> tuple[dict[str, Any] | None, str]:
    """Its report, or None and why there is none. It lives in an environment of its own, outside of the lock."""
    tool = ROOT / ".venv" / ".audit"
    command = [str(tool / "bin" / "pip-audit"), "--requirement", str(lock), "--no-deps", "--disable-pip"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    steps = (
        []
        if (tool / "bin" / "pip-audit").exists()
        else [
            [sys.executable, "-m", "venv", str(tool)],
            [str(tool / "bin" / "pip"), "install", "--quiet", "--retries", "0", "--timeout", "20", PIP_AUDIT],
        ]
    )
    try:
        for step in steps:
            subprocess.run(step, check=True, capture_output=True, text=True, timeout=SECONDS, env=environment)
        done = subprocess.run(
            [*command, "--progress-spinner", "off", "--format", "json", "--timeout", "20"],
            check=False, capture_output=True, text=True, timeout=SECONDS, env=environment,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        return None, _last_line(error.stderr)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None, _last_line(done.stderr)
    return report, ""


def _last_line(text: str) -> str:
    return next((line.strip()[:200] for line in reversed(text.splitlines()) if line.strip()), "no reason given")


if __name__ == "__main__":
    code, text = verdict(*pip_audit(ROOT / "requirements.lock"))
    print(text)
    sys.exit(code)
