"""The report: the pages' scripts in one file that fetches nothing and that no text can break."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letheon.dashboard.bundle import STATIC, bundle, page
from letheon.dashboard.html_report import html_report, write_report
from tests.letheon.dashboard.support import LongStory, record
from tests.letheon.tracking.tracking_support import story

SCRIPTS = sorted(STATIC.glob("*.js"))


class Page(HTMLParser):
    """Tags, the addresses they would fetch, and the text of the data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.data = ""
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        self._in_data = ("id", "data") in attrs

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data


def no_generations(_: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {}, {}


def test_the_report_stands_alone() -> None:
    found = Page(html_report(record(story()), no_generations))
    assert found.fetched == []
    assert "link" not in found.tags and found.tags.count("script") == 3
    data = json.loads(found.data)
    assert set(data["trials"]) == {"t000", "t001", "t002", "t003"}
    assert data["trials"]["t000"]["on_front"] == [1, 2, 3]
    assert data["sweep"]["strata"][0]["knee"] is not None


def test_in_a_large_sweep_the_trials_near_the_front_have_pages() -> None:
    known = record(LongStory(150, epochs=2).rows)
    data = json.loads(Page(html_report(known, no_generations)).data)
    on_front = {point["trial"] for stratum in data["sweep"]["strata"] for point in stratum["points"]}
    assert on_front and on_front <= set(data["trials"]) and len(data["trials"]) == 100


@given(st.text() | st.sampled_from(["</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028", "&lt;"]))
@settings(max_examples=40, deadline=None)
def test_no_text_becomes_markup(text: str) -> None:
    found = Page(page(text, {"name": text, text: [text]}))
    assert found.tags.count("script") == 3
    assert json.loads(found.data)["name"] == text


def test_the_report_is_written_atomically_and_returned(tmp_path: Path) -> None:
    text = write_report(tmp_path / "new" / "report.html", record(story()), no_generations)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]
    assert (tmp_path / "new" / "report.html").read_text() == text


def test_every_script_is_in_the_bundle() -> None:
    whole = bundle()
    assert all(f'modules["{script.name}"] = ' in whole for script in SCRIPTS)
    assert not re.search(r"^\s*(import|export)\b", whole, re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_use_only_forms_that_can_be_bundled(script: Path) -> None:
    text = script.read_text()
    for line in text.splitlines():
        if line.startswith("import"):
            assert re.fullmatch(r'import \{ [\w$]+(, [\w$]+)* \} from "\./\w+\.js";', line)
        if line.startswith("export"):
            assert re.match(r"export (async function|function|const) \w+", line)
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in text  # texts of a sweep are only ever set as text


def test_the_chart_library_is_the_published_one() -> None:
    """echarts 6.1.0, dist/echarts.min.js as npm has it."""
    digest = hashlib.sha256((STATIC / "vendor" / "echarts.min.js").read_bytes()).hexdigest()
    assert digest == (STATIC / "vendor" / "echarts.sha256").read_text().split()[0]
