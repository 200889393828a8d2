"""One trial of two workers under ZeRO has bit-equal metrics on two nodes of a real cluster and on one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from letheon.journal import Journal
from tests.letheon.cluster_process import nodes
from tests.letheon.servers import free_port
from tests.letheon.small_sweep import run, write_space

EPOCHS = 2
MACHINE_DEPENDENT = ("seconds", "per_second", "memory", "restarts")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def swept(name: str, stage: int, root: Path, environment: Mapping[str, str], *where: str) -> list[dict[str, Any]]:
    """Runs a sweep of one trial; the metrics of its epochs."""
    space = write_space(root.parent)
    settings = {
        "search.method": "npo_rt",
        "search.forget_fraction": "0.5",
        "scheduler.max_epochs": EPOCHS,
        "budget.trials": 1,
        "trial.workers": 2,
        "trial.deepspeed": f"{{zero_optimization: {{stage: {stage}}}}}",
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = run("sweep", space, "--name", name, *sets, "--root", root, *where, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = Journal.read(root / "sweeps" / name / "journal.jsonl")
    return [
        {key: value for key, value in row["metrics"].items() if not any(word in key for word in MACHINE_DEPENDENT)}
        for row in rows
        if row["kind"] == "report"
    ]


@pytest.mark.parametrize("stage", [2, 3])
def test_two_nodes_give_the_metrics_of_one(stage: int, tmp_path: Path) -> None:
    """No node can hold both workers, so they run on two; models are prepared once, on the cluster."""
    root = tmp_path / "root"
    with nodes(tmp_path, free_port(), head_cpus=0) as cluster:
        cluster.send("add")
        cluster.send("add")
        two = swept("two", stage, root, cluster.environment, "--address", cluster.address)
    with nodes(tmp_path, free_port(), head_cpus=2) as cluster:
        one = swept("one", stage, root, cluster.environment, "--address", cluster.address)
    assert len(one) == EPOCHS and len(one[-1]) > 20 and one[0] != one[-1], "there is something to compare"
    assert repr(two) == repr(one)
