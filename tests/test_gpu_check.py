"""The check of a GPU: its dry run on a CPU, and that no check can take the others' lines with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import run
from benchmarks.gpu.__main__ import checks
from benchmarks.gpu.memory import SHAPES, recipes
from benchmarks.gpu.run import Check, Settings
from tests.test_architecture import ROOT
from trainables.runtime.fast_paths import FAST_PATHS


def returns(settings: Settings, word: str) -> dict[str, Any]:
    return {"device": settings.device, "word": word}


def raises(settings: Settings) -> dict[str, Any]:
    raise ValueError("a wrong kernel")


def hangs(settings: Settings) -> dict[str, Any]:
    print("before the hang", flush=True)
    time.sleep(600)
    return {}


def dies(settings: Settings) -> dict[str, Any]:
    os.abort()


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("device", ["cpu", "cuda"])  # processes start in another way for each
def test_what_fails_hangs_or_dies_leaves_a_line_and_the_next_check_runs(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_PRELOADED", [])
    here, out = "tests.test_gpu_check", tmp_path / "lines"
    planned = [
        Check("wrong", 1, 60, f"{here}:raises"),
        Check("late", 1, 5, f"{here}:hangs"),
        Check("dead", 1, 60, f"{here}:dies"),
        Check("right", 2, 60, f"{here}:returns", ("yes",)),
    ]
    seen = []
    for line in run.run(planned, Settings(device), out, minutes=5):
        seen.append(line)
        assert lines_of(out) == seen, "a line is written before the next check starts"
    wrong, late, dead, right = seen
    assert wrong["error"].splitlines()[-2:] == ["ValueError: a wrong kernel", "exit code 1"]
    assert late["error"].splitlines() == ["before the hang", "not done after 5 s"]
    assert dead["error"].endswith("exit code -6")
    assert right["result"] == {"device": device, "word": "yes"}
    assert [line["part"] for line in seen] == [1, 1, 1, 2]


def test_what_no_longer_fits_into_a_call_is_left_out(tmp_path: Path) -> None:
    out = tmp_path / "lines"
    (line,) = run.run([Check("late", 1, 60, "none:none")], Settings("cpu"), out, minutes=0)
    assert "--only" in line["left_out"] and "error" not in line
    assert lines_of(out) == [line]


def test_every_recipe_is_checked_at_every_size() -> None:
    found = [check.name for check in checks(Settings())]
    assert len(set(found)) == len(found)
    assert {f"memory: {recipe.name}, {shape}" for recipe in recipes() for shape in SHAPES} <= set(found)


@pytest.mark.slow  # a minute
@pytest.mark.timeout(900)
def test_the_dry_run_writes_a_result_for_every_check(tmp_path: Path) -> None:
    out = tmp_path / "lines"
    line = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--threads", "1", "--out", str(out)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    found = lines_of(out)
    assert [each["check"] for each in found] == [check.name for check in checks(Settings("cpu", tiny=True))]
    assert [each for each in found if not each.get("result")] == []
    (paths,) = (each["result"]["paths"] for each in found if each["check"] == "fast paths")
    assert {each["path"] for each in paths} == set(FAST_PATHS)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow  # two processes import everything
@pytest.mark.timeout(600)
def test_a_way_that_fails_does_not_lose_the_others_times(tmp_path: Path) -> None:
    sizes = ["--model", "toy", "--rows", "4", "--micro", "4", "--steps", "1"]
    ways = ["--peer", str(tmp_path / "no checkout"), "--ways", "plain", "peer"]
    line = [sys.executable, str(ROOT / "benchmarks" / "step.py"), *sizes, *ways]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])["ways"]
    assert found["plain"]["wall_ms"] > 0 and found["plain"]["peak_bytes"] > 0
    assert "No module named" in found["peer"]["error"]
