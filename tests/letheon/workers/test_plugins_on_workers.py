"""A worker runs no job, not even of preparation, where a plug-in is missing or is another version."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from letheon.workers.settings import WorkerSettings
from letheon.workers.worker_group import OwnedWorkerGroup
from tests.trainables.plugins.plugin_file import GOOD
from trainables.config import BenchmarkConfig, PluginConfig, WorkersConfig
from trainables.jobs.specs import BaseJob

SHA = hashlib.sha256(GOOD.encode()).hexdigest()


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow  # each case starts its own workers
@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (
            PluginConfig(module="no_such_module_here", sha256="0" * 64),
            "module no_such_module_here: is not a Python module",
        ),
        (PluginConfig(file="/nowhere/my_npo.py", sha256=SHA, text=GOOD + "\n"), "/nowhere/my_npo.py: has changed"),
        (PluginConfig(file="/nowhere/my_npo.py", sha256=SHA, text=GOOD), None),
    ],
    ids=["missing", "other", "right"],
)
def test_a_job_fails_before_it_begins(plugin: PluginConfig, reason: str | None, tmp_path: Path) -> None:
    workers = WorkersConfig(cpus_per_worker=0.25, max_failures=0)
    settings = WorkerSettings(
        workers, tmp_path / "train", tmp_path / "logs", preload=False, fixed_nodes=True, plugins=(plugin,)
    )
    group = OwnedWorkerGroup(settings)
    job = BaseJob(base="tiny", benchmark=BenchmarkConfig(people=4), folder=str(tmp_path / "base"))
    report = group.run_epoch(group.submit(job.model_dump(mode="json")), 1)
    group.close()
    assert (tmp_path / "base").exists() == (reason is None)
    if reason is None:
        assert "failed" not in report
    else:
        assert reason in report["failed"]
        assert report["failed"].startswith("PluginError")
