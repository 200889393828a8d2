"""Stages tell whoever listens, seldom and cheaply; without a listener they do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.runtime import progress
from trainables.runtime.progress import Stage, sending, within


class Clock:
    """Seconds that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress, "clock", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_speed_and_time_left_leave_out_the_first_step(clock: Clock) -> None:
    said: list[dict[str, Any]] = []
    with sending(said.append):
        stage = Stage("training", 12)
        for seconds in (60.0, 2.0, 2.0):
            clock.now += seconds
            stage.step(tokens=100, loss=lambda: 1.5)
    assert said[0] == {"stage": "training", "step": 0, "of": 12}
    assert said[1]["seconds_left"] == 11 * 60.0
    assert said[-1] == {
        "stage": "training", "step": 3, "of": 12, "loss": 1.5, "tokens_per_second": 50.0, "seconds_left": 18.0
    }  # fmt: skip


def test_most_steps_send_nothing_and_read_no_loss(clock: Clock) -> None:
    said, read = list[dict[str, Any]](), 0

    def loss() -> float:
        nonlocal read
        read += 1
        return 0.0

    with sending(said.append):
        stage = Stage("training", 1000)
        for _ in range(1000):
            clock.now += 0.01
            stage.step(loss=loss)
    assert len(said) == 1 + read
    assert read <= 1 + 10.0 / progress.PERIOD_SECONDS


def test_a_resumed_stage_counts_from_where_it_continues(clock: Clock) -> None:
    said: list[dict[str, Any]] = []
    with sending(said.append):
        stage = Stage("training", 100, done=60)
        for _ in range(3):
            clock.now += 5.0
            stage.step()
    assert said[0]["step"] == 60
    assert (said[-1]["step"], said[-1]["seconds_left"]) == (63, 37 * 5.0)


def test_parts_of_steps_add_up_and_a_stage_may_have_none(clock: Clock) -> None:
    said: list[dict[str, Any]] = []
    with sending(said.append), within("target model"):
        stage = Stage("generating answers", 8)
        for _ in range(5):
            clock.now += 3.0
            stage.step(0.5)
        clock.now += 3.0
        stage.step(to=8)
        Stage("saving")
    assert [one.get("step") for one in said] == [0, 0, 1, 1, 2, 2, 8, None]
    assert said[-1] == {"stage": "target model: saving"}


def test_without_a_listener_nothing_is_read(clock: Clock) -> None:
    def fails() -> float:
        raise AssertionError("nobody listens")

    with sending(None):
        Stage("training", 3).step(loss=fails)
    Stage("training", 3).step(loss=fails)
