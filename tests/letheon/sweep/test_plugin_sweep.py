"""The example's sweep with the real command: its method runs on workers, is recorded, and is checked on resume."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from letheon.journal import Journal
from letheon.tracking.reader.sweeps import find_sweep, open_store
from letheon.tracking.store.artifacts import read
from tests.letheon.small_sweep import letheon
from tests.test_architecture import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = ("benchmark.people=4", "benchmark.evaluation_rows=4", "evaluation.max_new_tokens=8", "budget.trials=4")
SMALLER = ("scheduler={name: asha, max_epochs: 2}", "searcher={name: quasi_random}", "model.recipe={epochs: 8}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example's files and, in `root`, its finished sweep."""
    folder = tmp_path_factory.mktemp("plugins")
    for name in ("dual_objective.py", "sweep.yaml"):
        shutil.copy(ROOT / "examples" / "plugins" / name, folder)
    overrides = [part for each in (*SMALL, *SMALLER) for part in ("--set", each)]
    done = letheon("sweep", folder / "sweep.yaml", *overrides, root=folder / "root")
    # So short a sweep may end without a feasible point, which is an exit code of its own.
    assert "sweep dual-objective finished" in done.stdout, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Path:
    return folder / "root" / "sweeps" / "dual-objective"


def test_trials_of_both_methods_ran_to_an_end(sweep: Path) -> None:
    rows: list[dict[str, Any]] = list(Journal.read(sweep / "journal.jsonl"))
    methods = {row["trial"]: row["config"]["method"] for row in rows if row["kind"] == "trial"}
    assert set(methods.values()) == {"npo_rt", "dual_objective"}
    outcomes = Counter(row["outcome"] for row in rows if row["kind"] == "end")
    assert not set(outcomes) - {"completed", "pruned", "stopped", "collapsed"}, outcomes
    losses = [row["metrics"]["forget_loss"] for row in rows if row["kind"] == "report" and row["epoch"] >= 1]
    assert len(losses) >= 4


def test_the_sweep_keeps_the_code_and_says_which_it_was(folder: Path, sweep: Path) -> None:
    assert (sweep / "plugins" / "dual_objective.py").read_bytes() == (folder / "dual_objective.py").read_bytes()
    client = open_store(folder / "root")
    _, run = find_sweep(client, "dual-objective")
    text = read(client, run.id, "dual_objective.py", 100_000)
    assert text == (folder / "dual_objective.py").read_bytes()
    assert len(run.tags["letheon.plugin.dual_objective.py"]) == 64


def test_what_only_looks_needs_no_code(folder: Path, sweep: Path) -> None:
    copy = sweep / "plugins" / "dual_objective.py"
    hidden = copy.rename(sweep / "plugins" / "hidden")
    try:
        for verb in ("status", "front", "explain"):
            more = ("t000",) if verb == "explain" else ()
            done = letheon(verb, "dual-objective", *more, "--json", root=folder / "root")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)
    finally:
        hidden.rename(copy)


def test_resume_refuses_an_edited_file_in_one_line_and_takes_it_back(folder: Path) -> None:
    original = folder / "dual_objective.py"
    before = original.read_text()
    original.write_text(before + "\n")
    refused = letheon("resume", "dual-objective", root=folder / "root")
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert f"{original}, which has changed since the sweep began; restore that file" in refused.stderr
    original.write_text(before)
    done = letheon("resume", "dual-objective", root=folder / "root")
    assert "already finished" in done.stdout, done.stdout + done.stderr
