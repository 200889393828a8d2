"""States are saved often enough that a crash is cheap, and no more often than that unless they are cheap too."""

from __future__ import annotations

import random

import pytest

from trainables.storage.save_state import MOST_REPEATED_SECONDS, MOST_SHARE, must_save_state


def epochs(draw: random.Random) -> list[float]:
    """Seconds of the epochs of a trial, none longer than the first: the first one compiles."""
    first = 10 ** draw.uniform(-2, 4)
    return [first, *(first * draw.uniform(0.3, 1) for _ in range(60))]


@pytest.mark.parametrize("seed", range(50))
def test_a_crash_at_any_time_repeats_one_epoch_or_five_minutes(seed: int) -> None:
    draw = random.Random(seed)
    seconds, cost, unsaved = epochs(draw), 10 ** draw.uniform(-3, 3), 0.0
    for i, each in enumerate(seconds):
        assert unsaved + each <= max(seconds[0], MOST_REPEATED_SECONDS), "a crash at the end of this epoch"
        unsaved += each
        if must_save_state(unsaved, max(seconds[: i + 1]), cost):
            unsaved = 0.0


@pytest.mark.parametrize("seed", range(50))
def test_saving_is_cheap_or_every_few_minutes(seed: int) -> None:
    """Saves that are not required cost at most their share; required ones come after as much work as is allowed."""
    draw = random.Random(seed)
    seconds, cost, unsaved = epochs(draw), 10 ** draw.uniform(-3, 3), 0.0
    for i, each in enumerate(seconds):
        unsaved += each
        longest = max(seconds[: i + 1])
        if must_save_state(unsaved, longest, cost):
            assert cost <= MOST_SHARE * unsaved or unsaved + longest > MOST_REPEATED_SECONDS
            unsaved = 0.0


def test_an_unknown_cost_waits_until_saving_is_required() -> None:
    assert not must_save_state(100, 100, float("inf"))
    assert must_save_state(250, 100, float("inf"))
    assert must_save_state(100, 100, 5) and not must_save_state(100, 100, 5.1)
