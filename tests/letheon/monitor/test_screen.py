"""The screen on terminals of any size: it always fits, and every fact is there without colour."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from letheon.monitor.plain_text import plain_lines
from letheon.monitor.screen import Screen
from letheon.monitor.sections import ends_and_knee
from letheon.monitor.terminal import Column, cut_text, grid, share_lines
from tests.letheon.monitor.views import STATES

RESUME = "letheon resume study"


def shown(renderable: RenderableType, width: int, height: int = 24, encoding: str = "utf-8") -> list[str]:
    """The lines on a terminal of this size, without colours."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding)
    Console(file=file, width=width, height=height, highlight=False, markup=False).print(renderable)
    file.flush()
    return [line.rstrip() for line in raw.getvalue().decode(encoding).splitlines()]


def picture(name: str, width: int, height: int, encoding: str = "utf-8") -> list[str]:
    return shown(Screen(STATES[name], resume=RESUME), width, height + 1, encoding)


@pytest.mark.parametrize("name", STATES)
@given(st.integers(1, 200), st.integers(0, 60), st.sampled_from(["ascii", "utf-8"]))
@settings(max_examples=25, deadline=None)
def test_it_fits_every_terminal(name: str, width: int, height: int, encoding: str) -> None:
    lines = picture(name, width, height, encoding)
    assert len(lines) <= height
    assert all(cell_len(line) <= width and line.isprintable() for line in lines)


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("size", [(80, 23), (80, 11), (140, 39), (100, 3)])
def test_name_and_state_are_always_shown(name: str, size: tuple[int, int]) -> None:
    first = picture(name, *size)[0]
    assert first.startswith(f"study  {STATES[name].state.state}")


@pytest.mark.parametrize("width", [80, 140])
def test_a_running_sweep_shows_progress_fronts_and_cost(width: int) -> None:
    text = "\n".join(picture("running", width, 39))
    view = STATES["running"]
    assert "20 of 40 trials" in text
    assert re.search(r"(about|at most) \d+ (s|min) left", text)
    for trial in ("t017", "t018", "t019"):
        assert re.search(rf"^{trial} .* \d+ of 10", text, re.M)
    for key, stratum in view.strata.items():
        knee = stratum.front["knee"]
        assert re.search(rf"^{key} .*━.*{stratum.ended} of 20", text, re.M)
        assert re.search(rf"\* +{knee['trial']}@{knee['epoch']} ", text)
        assert f"front {key}" in text
    assert "train" in text and "wasted" in text and "saved" in text


def test_states_are_shown_in_words() -> None:
    assert "models are being prepared" in "\n".join(picture("preparing", 80, 23))
    assert "no trial has started yet" in "\n".join(picture("without trials", 80, 23))
    assert RESUME in "\n".join(picture("interrupted", 80, 23))
    assert "was not made: out of memory see logs/xxx" in "\n".join(picture("failed", 140, 23))
    assert RESUME in "\n".join(picture("failed", 80, 23))
    assert "17 rows behind at http://records.example:5000" in "\n".join(picture("degraded", 80, 11))
    assert "of 8 gpu hours" in "\n".join(picture("hours", 80, 39))
    for name in ("interrupted", "failed", "finished"):
        assert " left" not in "\n".join(picture(name, 80, 39))


def test_a_short_terminal_drops_the_least_important_sections() -> None:
    tall, short = picture("running", 80, 39), picture("running", 80, 14)
    assert any(line.startswith("ended") for line in tall)
    assert not any(line.startswith("ended") for line in short)
    assert sum(line.startswith(("t017", "t018", "t019")) for line in short) == 2
    assert any(line.lstrip().startswith("front") for line in short)
    assert any(line.startswith("all ") for line in short)
    assert picture("running", 80, 2) == tall[:2]


def test_no_color_prints_no_escape_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed() -> str:
        file = io.StringIO()
        console = Console(file=file, force_terminal=True, width=80, height=24, highlight=False)
        console.print(Screen(STATES["running"]))
        return file.getvalue()

    assert "\x1b[36m" in printed()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[(3|4|9|10)\d", printed())
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in printed()


@pytest.mark.parametrize("name", STATES)
def test_plain_lines_have_the_same_facts(name: str) -> None:
    view, lines = STATES[name], list(plain_lines(STATES[name]))
    assert lines[0].startswith(f"study: {view.state.state}")
    assert sum(line.startswith("t0") for line in lines) == len(view.state.trials)
    assert [line for line in lines if line.startswith("fraction")] == [
        line for key, line in zip(view.strata, lines[1:], strict=False) if line.startswith(f"fraction {key}: ")
    ]
    assert ("rows behind" in lines[-1]) == (name == "degraded")


# ---- the parts


@given(st.integers(0, 30) | st.none(), st.lists(st.tuples(st.integers(1, 6), st.integers(1, 12)), max_size=6))
def test_lines_are_shared_by_importance(available: int | None, wants: list[tuple[int, int]]) -> None:
    given_ = share_lines(available, wants)
    for lines, (least, most) in zip(given_, wants, strict=True):
        assert lines == 0 or min(least, most) <= lines <= most
    if available is not None:
        assert sum(given_) <= available
    if wants and available is not None and wants[0][0] <= wants[0][1]:
        assert (given_[0] > 0) == (available >= wants[0][0])


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_the_points_shown_include_the_knee_and_both_ends(count: int, most: int, data: st.DataObject) -> None:
    points: list[Mapping[str, Any]] = [{"trial": f"t{i}", "epoch": 1} for i in range(count)]
    knee = data.draw(st.sampled_from(points))
    shown = ends_and_knee(points, knee, most)
    assert knee in shown
    assert len(shown) == min(count, most)
    assert shown == sorted(shown, key=points.index)
    if most >= 3:
        assert points[0] in shown and points[-1] in shown


def test_narrow_tables_lose_columns_whole_and_wide_characters_count_double() -> None:
    columns = [
        Column("trial", ["t000", "t001"]),
        Column("beta", ["0.1", "0.2"], True, rank=2),
        Column("why", [cut_text("模型已经忘记了一切"), cut_text("short")], stretch=True),
    ]
    assert shown(grid(columns, 40), 40) == [
        "trial  beta  why",
        "t000    0.1  模型已经忘记了一切",
        "t001    0.2  short",
    ]
    assert shown(grid(columns, 14), 14) == ["trial  why", "t000   模型已…", "t001   short"]
