"""The comparison of all fast paths on this device, as `letheon doctor --fast-paths` runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from letheon.doctor.fast_paths import HEADER, line
from trainables.jobs.fast_paths import Checked, checked, speed_ratio
from trainables.runtime.fast_paths import FAST_PATHS, Outcome, Ways

ON_CPU = {
    ("packed rectangles", "fp32"),
    ("packed rectangles", "bf16"),
    ("lean layers", "fp32"),
    ("lean layers", "bf16"),
    ("own optimizer step", "bf16"),
    ("prefix tree", "fp32"),
    ("prefix tree", "bf16"),
}


@pytest.mark.timeout(300)
@pytest.mark.skipif(torch.cuda.is_available(), reason="states of a machine without a GPU")
def test_the_doctor_compares_every_path_and_exits_well(tmp_path: Path) -> None:
    """Without a C++ compiler, which also saves the minutes that compiling takes on a CPU."""
    no_compiler = {"PATH": "/nowhere", "CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "letheon.cli", "doctor", "--fast-paths", "--json"],
        env={**os.environ, **no_compiler, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [Checked(**each) for each in json.loads(done.stdout)]
    assert [(each.path, each.dtype) for each in found] == [(path, d) for d in ("fp32", "bf16") for path in FAST_PATHS]
    on = [each for each in found if each.state == "on"]
    assert {(each.path, each.dtype) for each in on} == ON_CPU
    for each in on:
        assert each.values is not None and each.tolerance is not None and each.ratio is not None
        assert max(each.values, each.gradients or 0.0) <= each.tolerance
        assert each.ratio > 0
    for each in found:
        if each.path == "compiled layers":
            assert each.state.startswith("off: it raised") and "compiler" in each.state.lower()
        assert each.state.startswith(("on", "off: ", "not used: "))


def test_what_differs_or_raises_is_a_state() -> None:
    def one() -> Outcome:
        return Outcome([torch.ones(1)])

    def other() -> Outcome:
        return Outcome([torch.ones(1) * 1.5])

    def raises() -> Any:
        raise RuntimeError("no such kernel")

    def found(make: Callable[[], Ways]) -> Checked:
        return checked("lean layers", make, "fp32", torch.float32, torch.device("cpu"))

    differing = found(lambda: (other, one))
    assert differing.state.startswith("off: values differ by ")
    assert differing.values is not None
    assert found(raises).state == "off: it raised RuntimeError: no such kernel"


def test_the_ratio_is_of_the_plain_path_to_the_fast_one() -> None:
    def work(repeats: int) -> Any:
        numbers = torch.ones(1 << 16)
        return lambda: Outcome([numbers.exp() for _ in range(repeats)])

    assert speed_ratio(work(1), work(40), torch.device("cpu")) > 4


def test_a_row_of_the_table() -> None:
    on = line(Checked("prefix tree", "cpu", "fp32", "on", 1.2e-6, None, 1e-4, 2.34))
    assert on.split() == ["prefix", "tree", "cpu", "fp32", "1.2e-06", "1.0e-04", "2.34x", "on"]
    assert on.index("on", 60) == HEADER.index("state")
    unused = line(Checked("recorded decoding", "cpu", "fp32", "not used: needs a GPU"))
    assert unused.split()[-5:] == ["not", "used:", "needs", "a", "GPU"]
