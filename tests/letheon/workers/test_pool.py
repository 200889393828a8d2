"""Which job starts next: the first that waits for nothing. `test_worker_group` tests how workers run jobs."""

from __future__ import annotations

from letheon.workers.pool import _ready

NEEDS = {"target": ["base"], "retain": ["base"], "baseline": ["target", "retain"]}


def test_jobs_start_in_their_order_once_the_jobs_that_they_need_are_done() -> None:
    waiting = dict.fromkeys(["base", "target", "retain", "baseline"])
    assert _ready(waiting, {}, NEEDS) == ["base"]
    del waiting["base"]
    assert _ready(waiting, {"report": ("base", None)}, NEEDS) == []
    assert _ready(waiting, {}, NEEDS) == ["target", "retain"]
    del waiting["target"], waiting["retain"]
    assert _ready(waiting, {"report": ("retain", None)}, NEEDS) == []
    assert _ready(waiting, {}, NEEDS) == ["baseline"]


def test_a_need_that_is_not_among_the_jobs_is_not_waited_for() -> None:
    assert _ready(dict.fromkeys(["baseline"]), {}, NEEDS) == ["baseline"]
