"""What notebooks show: the facts are there, and no text of a sweep becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

import letheon
from letheon.api.html import chip, facts_table, heading, lines, table
from tests.letheon.dashboard.support import LITTLE, LongStory, write_sweep
from tests.letheon.tracking.tracking_support import Story, story

EVIL = "<img src=x onerror=alert(1)>&"


class Tags(HTMLParser):
    """Counts elements; fails on one that is not closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= {"style"}
        self.seen.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_no_text_becomes_markup() -> None:
    page = heading(EVIL, EVIL, EVIL) + facts_table([(EVIL, EVIL)]) + lines([EVIL]) + chip(EVIL) + table((EVIL,), ())
    assert "img" not in Tags(page).seen
    assert Tags(page).text.count(EVIL) == 8


@pytest.fixture
def hostile(tmp_path: Path) -> letheon.Run:
    tale = Story()
    tale.add("sweep", state="running", info={})
    tale.trial("t000", "0.05", EVIL)
    tale.report("t000", 1, -1.0, 0.59)
    tale.rows[-1]["decision"]["reason"] = EVIL
    tale.end("t000", "failed", 1, EVIL)
    tale.add("sweep", state="failed", detail=EVIL)
    write_sweep(tmp_path, "hostile", tale.rows)
    return letheon.open("hostile", tmp_path)


def test_a_hostile_journal_shows_as_text(hostile: letheon.Run) -> None:
    trial = hostile.trial("t000")
    for shown in (hostile, trial, trial.explain()):
        tags = Tags(shown._repr_html_())
        assert "img" not in tags.seen and EVIL in tags.text


def test_a_run_shows_its_progress_and_its_answer(tmp_path: Path) -> None:
    write_sweep(tmp_path, "sixty", LongStory(60).rows, "budget.trials=60")
    text = Tags(letheon.open("sixty", tmp_path)._repr_html_()).text
    for fact in ("sixty", "finished", "60 of 60 trials", "t046@9", "forgotten", "5% of the data can be forgotten"):
        assert fact in text


def test_a_trial_shows_why(tmp_path: Path) -> None:
    write_sweep(tmp_path, "done", story())
    text = Tags(letheon.open("done", tmp_path).trial("t001")._repr_html_()).text
    for fact in ("t001", "pruned", "target model", "continued: first at its rung", "not forgotten"):
        assert fact in text


@pytest.mark.parametrize("rows", LITTLE.values(), ids=LITTLE)
def test_little_is_well_formed_too(rows: list[dict[str, object]], tmp_path: Path) -> None:
    write_sweep(tmp_path, "little", rows)
    Tags(letheon.open("little", tmp_path)._repr_html_())
