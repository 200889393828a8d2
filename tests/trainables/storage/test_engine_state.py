"""A state has each number once, its digests are those of its files, and it is loaded as it was saved."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.trainables.training.engine_runs import model, save, step
from trainables.runtime.ranks import Group
from trainables.storage.hashed_files import WEIGHTS
from trainables.storage.manifest import list_files
from trainables.training.engine import Engine

PARAMETERS = sum(each.numel() for each in model().parameters())


def work(group: Group, folder: Path) -> None:
    """Save one step's state in each way; load it where the weights were deleted meanwhile."""
    facts: dict[str, Any] = {}
    for precision, shared in product(tiny.PRECISIONS, (True, False)):
        name, workers = f"{precision}-{shared}", tiny.workers(0, precision, 4, 1)
        engine = Engine(model(), workers, group, weight_decay=0.01)
        step(engine, group, 4)
        digests = save(engine, group, folder / name, shared)
        files = list_files(folder / name)
        kept = tiny.copied(engine.weights())
        engine.close()
        shutil.rmtree(folder / f"{name}-model", ignore_errors=True)
        again = Engine(model(), workers, group, weight_decay=0.01)
        again.load_state(folder / name)
        facts[name] = {
            "digests": {name: entry for name, entry in files.items() if not name.startswith(WEIGHTS)} == digests,
            "linked": sorted(file for file in files if file.startswith(WEIGHTS)),
            "bytes": sum(entry["bytes"] for entry in digests.values()),
            "same": tiny.same(kept, tiny.copied(again.weights())),
        }
        again.close()
    (folder / "facts.json").write_text(json.dumps(facts))


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("states")
    tiny.spawned(work, folder, sizes=(1,))
    found: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_state_has_each_number_once(facts: dict[str, Any], precision: str, shared: bool) -> None:
    found = facts[f"{precision}-{shared}"]
    assert found["digests"] and found["same"]
    assert bool(found["linked"]) == (precision == "fp32" and shared), "masters serve in place of bf16 weights"
    per_parameter = 8 if found["linked"] else 12  # moments, and float32 weights or masters
    assert PARAMETERS * per_parameter <= found["bytes"] < PARAMETERS * per_parameter + 60_000
