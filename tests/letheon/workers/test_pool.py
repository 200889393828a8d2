"""Which job may begin next: the first that waits for nothing. How workers do them is tested with resident workers."""

from __future__ import annotations

from letheon.workers.pool import _ready

NEEDS = {"target": ["base"], "retain": ["base"], "baseline": ["target", "retain"]}


def test_jobs_begin_in_their_order_once_what_they_need_is_done() -> None:
    waiting = dict.fromkeys(["base", "target", "retain", "baseline"])
    assert _ready(waiting, {}, NEEDS) == ["base"]
    del waiting["base"]
    assert _ready(waiting, {"report": ("base", None)}, NEEDS) == []
    assert _ready(waiting, {}, NEEDS) == ["target", "retain"]
    del waiting["target"], waiting["retain"]
    assert _ready(waiting, {"report": ("retain", None)}, NEEDS) == []
    assert _ready(waiting, {}, NEEDS) == ["baseline"]


def test_what_is_there_already_is_not_waited_for() -> None:
    assert _ready(dict.fromkeys(["baseline"]), {}, NEEDS) == ["baseline"]
