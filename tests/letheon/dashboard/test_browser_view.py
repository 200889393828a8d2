"""What a reader does with the charts and the table: links that keep the view, comparing, saving, honest axes."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from letheon.dashboard.sweep_view import sweep_view
from tests.letheon.dashboard.chromium import DRIVER, SLICES, WHY_SKIPPED, Window, trial_rows
from tests.letheon.dashboard.support import LongStory, record

pytestmark = [
    pytest.mark.slow,  # but for one page: `test_browser_page.py`
    pytest.mark.skipif(DRIVER is None, reason=WHY_SKIPPED),
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("no_complaints"),
]


def _ticked(window: Window, count: int) -> bool:
    return len(window.all("input:checked")) == count


def test_a_link_keeps_the_view(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty/0.1")
    window.until_text("Trials")
    window.one('input[aria-label^="Search trials"]').send_keys("completed")
    window.click(next(one for one in window.all("#chips button") if one.text == "ga"))
    window.click(next(one for one in window.all("thead button") if one.text.startswith("utility")))
    for count in (1, 2):
        window.click(window.one("tr[data-trial] input:not(:checked)"))
        window.until(partial(_ticked, window, count), "ticked trials")
    names, kept = trial_rows(window), window.chrome.current_url
    window.open(kept)
    window.until(lambda: trial_rows(window) == names, "the same trials in the same order")
    assert window.one('input[aria-label^="Search trials"]').get_attribute("value") == "completed"
    assert window.one('th[aria-sort="descending"]').text.startswith("utility")
    assert window.one('#chips button[aria-pressed="false"]').text == "ga"
    assert len(window.all("input:checked")) == 2 and "Compare t0" in window.text


def test_trials_are_searched_in_all_fractions(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty/0.1")
    window.until_text("Trials")
    shown = trial_rows(window)
    elsewhere = next(name for name in (f"t{number:03d}" for number in range(60)) if name not in shown)
    window.one('input[aria-label^="Search trials"]').send_keys(elsewhere)
    window.until(lambda: trial_rows(window) == [elsewhere], "the trial of the other fraction")
    assert "5%" in window.one(f'tr[data-trial="{elsewhere}"]').text


def _options(window: Window, selector: str, script: str) -> Any:
    """What the script says of the chart, `chart`, once it is drawn."""
    host = window.one(selector)
    return window.until(
        lambda: window.run(f"const chart = echarts.getInstanceByDom(arguments[0]); {script}", host), "it"
    )


def test_what_a_method_has_not_is_drawn_as_none(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty/0.1")
    window.until_text("Trials")
    line = _options(window, ".chart.wide", "return chart.getOption().series[0];")
    axes = _options(window, ".chart.wide", "return chart.getOption().parallelAxis.map((one) => [one.name, one.min]);")
    beta, rate = ([name for name, _ in axes].index(name) for name in ("beta", "learning rate"))
    assert not line["smooth"] and all(low < 0 for _, low in axes)
    for item in line["data"]:
        method = dict(item["facts"])["method"]
        assert (item["value"][beta] < 0) == (not method.startswith("npo")), item
        assert 0 <= item["value"][rate] <= 1


def test_a_log_range_has_a_log_axis(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty/0.1")
    window.until_text("Trials")
    script = """
        const done = arguments[0];
        import("/static/scale.js").then(({ isLog, scale, NONE }) => {
          const log = scale([1e-5, 1e-3], true), linear = scale([0, 10, undefined], false);
          const down = scale([0, 1], false, true), none = linear.place(undefined) === NONE;
          done({ none, middle: log.place(1e-4), texts: log.ticks.map((one) => one.text),
            first: linear.ticks[0].text, linear: linear.place(5), down: down.place(0),
            known: [isLog({ log_scaled: ["rate"] }, "rate", [1, 2]), isLog({ log_scaled: [] }, "rate", [1, 200])],
            unknown: [isLog({ log_scaled: null }, "rate", [1, 2]), isLog({ log_scaled: null }, "rate", [1, 200])] });
        });"""
    found = window.chrome.execute_async_script(script)
    assert found["middle"] == pytest.approx(0.5) and found["texts"] == ["0.00001", "0.0001", "0.001"]
    assert found["none"] and found["first"] == "none" and found["linear"] == pytest.approx(0.5) and found["down"] == 1
    assert found["known"] == [True, False] and found["unknown"] == [False, True]


def test_learning_curves_show_every_point(window: Window, address: str) -> None:
    """Those of the untouched target model too, which are the lowest."""
    window.open(f"{address}#/sweeps/sixty/0.1?metric=log10_forget_quality")
    window.until_text("Trials")
    window.until_painted(5 + SLICES)
    low, high = _options(
        window, ".w6 .chart.middle", "return chart.getModel().getComponent('yAxis').axis.scale.getExtent();"
    )
    assert low <= -12.0 and high >= -0.5


def _labels(window: Window, text: str) -> Any:
    """[left, right] of the labels in the plane that have this text, and how wide the picture is."""
    script = f"""
        const found = chart.getZr().storage.getDisplayList(true).filter((one) => one.style?.text?.includes("{text}"));
        return [chart.getWidth(), ...found.map((one) => {{
          const box = one.getBoundingRect().clone();
          box.applyTransform(one.getComputedTransform() ?? [1, 0, 0, 1, 0, 0]);
          return [box.x, box.x + box.width];
        }})];"""
    return _options(window, ".chart.tall", script)


@pytest.mark.parametrize("width", [390, 1440])
def test_the_knee_is_always_named_and_no_label_is_cut(width: int, window: Window, address: str) -> None:
    window.emulate(width=width)
    for key in ("0.05", "0.1"):
        window.open(f"{address}#/sweeps/sixty/{key}")
        window.until_text("Trials")
        whole, *knees = _labels(window, "knee")
        assert len(knees) == 1
        _, *others = _labels(window, "@")
        assert [one for one in others if one[0] < 0 or one[1] > whole] == []


def test_two_trials_side_by_side(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty/0.1")
    window.until_text("Tick two trials to compare them")
    one, other = trial_rows(window)[:2]
    window.click(window.one(f'input[aria-label="Compare {one}"]'))
    window.until_text(f"{one} is ticked")
    window.click(window.one(f'input[aria-label="Compare {other}"]'))
    window.click(window.until(lambda: window.one(f'a[href="#/sweeps/sixty/compare/{one}/{other}"]'), "the link"))
    window.until_text("Trajectories", "Configuration", "Metrics at the best epoch", "All other metrics", "difference")
    window.until_painted(2)
    assert "differs" in (window.one("tr:has(td:first-child)").get_attribute("class") or "")
    third = next(
        option for option in window.all('select[aria-label="Second trial"] option') if not option.is_selected()
    )
    name = third.text.split()[0]
    third.click()
    window.until(lambda: window.chrome.current_url.endswith(f"/compare/{one}/{name}"), "another second trial")
    window.until_text(f"open {name}")
    window.chrome.back()
    window.until_text(f"open {other}")


def _downloads(window: Window, folder: Path) -> None:
    window.chrome.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder), "eventsEnabled": False}
    )


def test_trials_and_pictures_are_saved(window: Window, address: str, tmp_path: Path) -> None:
    _downloads(window, tmp_path)
    window.open(f"{address}#/sweeps/sixty/0.1")
    window.until_text("Trials")
    window.until_painted(5 + SLICES)
    window.click(window.button("Export CSV"))
    file = tmp_path / "sixty-trials.csv"
    window.until(file.exists, "the table")
    lines = list(csv.DictReader(file.read_text().splitlines()))
    assert [line["trial"] for line in lines] == [f"t{number:03d}" for number in range(60)]
    view = {trial["id"]: trial for trial in sweep_view(record(LongStory(60).rows))["trials"]}
    for line in lines:
        trial = view[line["trial"]]
        assert line["forget_fraction"] == trial["stratum"] and line["method"] == trial["config"]["method"]
        if trial["best"] is not None:
            at = trial["epochs"].index(trial["best"])
            assert float(line["model_utility"]) == trial["metrics"]["model_utility"][at]
    names = [button.get_attribute("aria-label") for button in window.all(".save")]
    assert len(names) == len(set(names)) == 5 + SLICES
    window.run("arguments[0].click()", window.one(".save"))
    picture = tmp_path / "sixty-front.png"
    window.until(lambda: picture.exists() and picture.read_bytes().startswith(b"\x89PNG"), "the picture")


def test_a_spreadsheet_gets_no_formula(window: Window, address: str) -> None:
    window.open(address)
    script = """
        const done = arguments[0];
        const trial = { id: "=1+1", stratum: "0.1", config: { method: 'a,"b"' }, outcome: "failed", reason: "@x",
          epochs: [0], metrics: {}, rank: null, best: null, seconds: -1 };
        import("/static/export.js").then(({ trialsCsv }) => done(trialsCsv({ trials: [trial], metrics: [] })));"""
    [line] = list(csv.DictReader(window.chrome.execute_async_script(script).splitlines()))
    assert (
        line["trial"] == "'=1+1" and line["reason"] == "'@x" and line["method"] == 'a,"b"' and line["seconds"] == "-1"
    )
