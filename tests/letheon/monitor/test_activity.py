"""What runs now, in words and as bars."""

from __future__ import annotations

import re
from dataclasses import replace

from letheon.journal.activity import NOTHING, Activity, Work
from letheon.monitor.activity import activity_in_a_line, activity_lines, work_in_words
from tests.letheon.monitor.test_screen import picture
from tests.letheon.monitor.views import MAKING, WORK


def test_words_say_how_far_how_fast_and_how_long_still() -> None:
    at_work, silent = WORK
    assert work_in_words(at_work) == (
        "t018 epoch 3, 25 s: training, step 12 of 40, loss 2.1, 8,125 tokens/s, about 58 s left"
    )
    assert work_in_words(silent) == "t019 epoch 1, 5 min 40 s: generating answers, step 7 of 8, no news for 1 min 35 s"
    assert work_in_words(Work("base model", "loading", 3.0, 3.0)) == "base model, 3 s: loading"


def test_a_preparation_says_what_is_ready_what_runs_and_what_waits() -> None:
    first, work = activity_lines(MAKING)
    assert first == "ready: base model; running: target model; waiting: retain model 0.1, baseline 0.1"
    assert work.startswith("target model, 1 min 1 s: training, step 120 of 400")


def test_the_line_of_a_log_changes_with_time_and_stays_short() -> None:
    assert activity_in_a_line(NOTHING) is None
    starting = Activity("starting Ray", 9.0)
    assert activity_in_a_line(starting) == "starting Ray, 9 s"
    assert activity_in_a_line(starting.at(8.0)) == "starting Ray, 17 s"
    many = Activity(work=[replace(WORK[0], job=f"t{i:03d}") for i in range(9)])
    line = activity_in_a_line(many) or ""
    assert line.count("training") == 4 and line.endswith("; and 5 more")


def test_the_screen_has_a_bar_per_worker() -> None:
    text = "\n".join(picture("making models", 120, 30))
    assert "ready: base model; running: target model" in text
    assert re.search(r"^target model +training +━+.* 120 of 400 +1.5 +900", text, re.M)
    text = "\n".join(picture("at work", 140, 50))
    assert "registering the front, 12 s" in text
    assert re.search(r"^t019 epoch 1 +generating answers +━+.* 7 of 8 .*silent 1 min 35 s", text, re.M)
