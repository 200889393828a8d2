"""What the driver and its worker groups do, in one file that is always whole and gone at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from letheon.journal.activity import NAME, NOTHING, Activity, read_activity
from letheon.workers.board import Board
from letheon.workers.mailbox import Mailbox
from tests.letheon.small_sweep import wait_for
from trainables.ray_train import NAMESPACE

TRIAL = {"kind": "trial", "config": {"trial": "t003"}}


def now(folder: Path) -> Activity:
    return read_activity(folder, time.time())


@pytest.fixture
def mailboxes(ray_session: None) -> Iterator[dict[str, Any]]:
    actor: Any = ray.remote(Mailbox)
    made = {
        name: actor.options(name=name, namespace=NAMESPACE, num_cpus=0).remote(0)
        for name in ("slot-mine-1", "slot-mine-2", "slot-other-1")
    }
    yield made
    for one in made.values():
        ray.kill(one)


def start(mailbox: Any, job: dict[str, Any]) -> int:
    generation: int = ray.get(mailbox.submit.remote(job))
    ray.get(mailbox.grant.remote(generation, 1))
    return generation


def test_it_follows_its_own_groups_while_they_work(mailboxes: dict[str, Any], tmp_path: Path) -> None:
    first, second, other = mailboxes.values()
    generation = start(first, TRIAL)
    for mailbox in (second, other):
        start(mailbox, {"kind": "finetune", "fraction": None})
    with Board(tmp_path, "starting Ray") as board:
        assert now(tmp_path).driver == "starting Ray"
        with board.watching("slot-mine-"):
            assert now(tmp_path).driver is None
            wait_for(lambda: now(tmp_path).work)
            assert [(one.job, one.stage) for one in now(tmp_path).work] == [
                ("t003", "starting workers"),
                ("target model", "starting workers"),
            ]
            ray.get(first.note_progress.remote(generation, {"stage": "training", "step": 3, "of": 12, "loss": 1.5}))
            wait_for(lambda: now(tmp_path).work[0].step)
            moved = now(tmp_path).work[0]
            assert (moved.job, moved.epoch, moved.share, moved.loss) == ("t003", 1, 0.25, 1.5)
            ray.get(first.post.remote(generation, 1, {}))
            ray.kill(second)
            wait_for(lambda: not now(tmp_path).work)
        assert now(tmp_path).work == [] and now(tmp_path).driver == "ending the workers"
    assert now(tmp_path) is NOTHING and not (tmp_path / NAME).exists()


def test_without_ray_it_tells_what_the_driver_does(tmp_path: Path) -> None:
    with Board(tmp_path / "new", "starting Ray") as board:
        board.artifacts({"base model": True, "target model": False})
        board.driver("registering")
        found = now(tmp_path / "new")
        assert (found.driver, list(found.artifacts)) == (
            "registering",
            [("base model", True), ("target model", False)],
        )
