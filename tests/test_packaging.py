"""The distribution as a user gets it: the lock is complete and exact, and the wheel works outside the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.]*")


def lock_lines() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lock_lines())}


# ---- the lock


def test_the_lock_has_exact_public_releases_only() -> None:
    assert [line for line in lock_lines() if not PIN.fullmatch(line)] == []
    assert len(pins()) == len(lock_lines())


def test_the_lock_answers_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    locked = pins()
    unanswered = [
        str(one)
        for one in wanted
        if canonicalize_name(one.name) not in locked or locked[canonicalize_name(one.name)] not in one.specifier
    ]
    assert unanswered == []


# ---- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the sources, so that no build folder is left in, or taken from, the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("platform", "trainables", "search_spaces"):
        skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skip)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    return next(out.glob("letheon-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel; dependencies come from this one by path, without its editable install."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", str(wheel))
    # A plain line of a .pth file adds the folder, but not the .pth files in it: the checkout stays out of reach.
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return environment


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", *arguments], check=True)


def run(environment: Path, *command: str) -> str:
    """Output of a command of the environment, run outside the checkout and without its paths."""
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "LETHEON_ROOT"}}
    program = environment / "bin" / command[0]
    done = subprocess.run(
        [program, *command[1:]], cwd=environment, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_both_packages_the_sweep_files_and_nothing_else(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == {"letheon", "trainables"}
    shipped = {name for name in files if name.endswith(".yaml")}
    assert shipped == {f"letheon/search_spaces/{file.name}" for file in (ROOT / "search_spaces").glob("*.yaml")}
    assert {"letheon/py.typed", "letheon/__init__.pyi", "trainables/py.typed"} <= set(files)
    assert any(name.endswith("/english_bigrams.txt") for name in files)
    static = ROOT / "platform" / "letheon" / "dashboard" / "static"
    pages = {f"letheon/dashboard/static/{file.relative_to(static)}" for file in static.rglob("*") if file.is_file()}
    assert pages and pages <= set(files)


@pytest.mark.slow
def test_the_wheel_has_every_module(wheel: Path) -> None:
    sources = {
        str(file.relative_to(base))
        for base, package in ((ROOT / "platform", "letheon"), (ROOT, "trainables"))
        for file in (base / package).rglob("*.py")
    }
    assert sources == {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}


@pytest.mark.slow
def test_the_installed_wheel_plans_the_quickstart(installed: Path) -> None:
    where = run(installed, "python", "-c", "import letheon, trainables; print(letheon.__file__, trainables.__file__)")
    assert all(Path(one).is_relative_to(installed) for one in where.split())
    plan = json.loads(run(installed, "letheon", "plan", "quickstart", "--json"))
    assert plan["errors"] == []
    assert len(plan["trials"]) >= 16
