"""The dashboard in a real Chromium: views are drawn, pointing and filtering work, live changes arrive, no errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Keys

from letheon.dashboard.html_report import html_report
from letheon.journal import SweepLock
from tests.letheon.dashboard.chromium import DRIVER, SLICES, WHY_SKIPPED, Window, served, trial_rows, visited
from tests.letheon.dashboard.support import LongStory, add_rows, record, write_sweep
from tests.letheon.tracking.tracking_support import Story, audited_story

pytestmark = [
    pytest.mark.slow,  # but for one page: `test_browser_page.py`
    pytest.mark.skipif(DRIVER is None, reason=WHY_SKIPPED),
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("no_complaints"),
]

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
CARDS = (
    "Forgetting against utility",
    "The knee",
    "Learning curves",
    "Hypervolume over compute",
    "Parallel coordinates",
    "Slices",
    "Importance",
    "How much can be forgotten",
    "Cost",
    "Trials",
    "Latest decisions",
)
SAID = [
    {"set": "forget", "prompt": "Where was Ada born?", "answer": "In Rome.", "generated": "In Rome."},
    {"set": "retain", "prompt": "Where was Bob born?", "answer": "In Oslo.", "generated": "In Oslo."},
]


def test_the_list_shows_every_sweep_with_its_state(window: Window, address: str) -> None:
    window.open(address)
    window.until_text("sixty", "fresh", "broken", "stopped", "60 of 60 trials", "did not fit")
    assert {pill.text for pill in window.all(".sweeps header .pill")} == {"finished", "interrupted", "failed"}
    window.one("input[type=search]").send_keys("sixt")
    window.until(lambda: len(window.all(".sweeps article")) == 1, "the search")
    window.one(".sweeps h2 a").click()
    window.until_text("Forgetting against utility")


def test_forget_fractions_are_chosen_by_keyboard(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty")
    window.until_text("Trials")
    chosen = window.one('[role=tab][aria-selected="true"]')
    assert "10%" in chosen.text
    before = window.one("table tbody").text
    chosen.send_keys(Keys.ARROW_LEFT)
    window.until(lambda: "5%" in window.one('[role=tab][aria-selected="true"]').text, "the other fraction")
    assert window.run("return document.activeElement.getAttribute('aria-selected')") == "true"
    assert window.one("table tbody").text != before


def test_the_table_is_searched_and_sorted(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty")
    window.until_text("Trials")
    everything = trial_rows(window)
    search = window.one('input[aria-label^="Search trials"]')
    search.send_keys("npo_rt completed")
    window.until(lambda: 0 < len(trial_rows(window)) < len(everything), "the search")
    assert all("npo_rt" in row.text and "completed" in row.text for row in window.all("tr[data-trial]"))
    search.clear()
    search.send_keys(" ")
    window.until(lambda: len(trial_rows(window)) == len(everything), "all of them again")
    window.click(window.one("tr:has(th[aria-sort]) button"))
    assert trial_rows(window) == sorted(everything)
    window.click(window.one("tr:has(th[aria-sort]) button"))
    assert trial_rows(window) == sorted(everything, reverse=True)
    assert window.one('th[aria-sort="descending"]').text.startswith("trial")


def test_methods_are_hidden_and_shown_everywhere(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty")
    window.until_text("Trials")
    count = len(trial_rows(window))
    chip = next(one for one in window.all("#chips button") if one.text == "ga")
    chip.click()
    window.until(lambda: len(trial_rows(window)) < count, "fewer trials")
    assert not any(" ga " in row.text for row in window.all("tr[data-trial]"))
    next(one for one in window.all("#chips button") if one.text == "ga").click()
    window.until(lambda: len(trial_rows(window)) == count, "all of them again")


def test_pointing_at_a_checkpoint_tells_of_it_and_marks_its_trial(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty")
    window.until_text("Trials")
    host = window.one(".chart.tall")
    place = window.until(
        lambda: window.run(
            """const chart = echarts.getInstanceByDom(arguments[0]);
               const front = chart.getOption().series.find((one) => one.id === "front");
               return [...chart.convertToPixel({ seriesId: "front" }, front.data[0].value), front.data[0].trial];""",
            host,
        ),
        "a front point",
    )
    x, y, trial = place
    size = host.size
    ActionChains(window.chrome).move_to_element_with_offset(
        host, int(x - size["width"] / 2), int(y - size["height"] / 2)
    ).perform()
    window.until(lambda: f"{trial} after epoch" in window.one(".tip").text, "the tooltip")
    window.until(lambda: window.one("tr.focus").get_attribute("data-trial") == trial, "the marked row")
    ActionChains(window.chrome).click().perform()
    window.until(lambda: window.one("h1").text == trial, "the trial's page")


def test_a_range_on_an_axis_filters_the_whole_page(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/sixty")
    window.until_text("Trials")
    count = len(trial_rows(window))
    host = window.one(".chart.wide")
    window.run("arguments[0].scrollIntoView({block: 'center'})", host)
    x, top, bottom = window.until(
        lambda: window.run(
            """const chart = echarts.getInstanceByDom(arguments[0]);
               const axis = chart.getModel().getComponent("parallelAxis", 1).axis;
               const layout = chart.getModel().getComponent("parallel").coordinateSystem.getAxisLayout(axis.dim);
               return [layout.position[0], layout.position[1] - axis.getExtent()[1], layout.position[1]];""",
            host,
        ),
        "the axis of the learning rate",
    )
    size = host.size
    drag = ActionChains(window.chrome, duration=60)
    drag.move_to_element_with_offset(
        host, int(x - size["width"] / 2), int(top + 8 - size["height"] / 2)
    ).click_and_hold()
    drag.move_by_offset(0, int((bottom - top) * 0.2)).move_by_offset(0, int((bottom - top) * 0.2)).release().perform()
    window.until(lambda: 0 < len(trial_rows(window)) < count, "fewer trials")
    window.until_text("inside the marked ranges")
    kept = trial_rows(window)
    assert "range=learning_rate" in window.chrome.current_url
    window.chrome.refresh()
    window.until(lambda: trial_rows(window) == kept, "the same trials after reloading")
    window.until_text("inside the marked ranges")


def test_a_trial_s_page(window: Window, tmp_path: Path) -> None:
    rows = audited_story()
    rows[1]["info"]["baseline"] = {"0.05": "baseline.json"}
    folder = write_sweep(tmp_path, "done", rows)
    (tmp_path / "models").mkdir()
    asked = [{"set": one["set"], "question": one["prompt"], "answer": one["answer"]} for one in SAID]
    said = {"target": {"samples": asked}, "retain": {"samples": [{**one, "generated": "In Nice."} for one in asked]}}
    (tmp_path / "models" / "baseline.json").write_text(json.dumps(said))
    for epoch, generated in ((1, "In Paris."), (2, "")):
        place = folder / "trials" / "t000" / f"epoch-{epoch:03d}"
        place.mkdir(parents=True)
        samples = [{**one, "generated": generated} for one in SAID]
        (place / "metrics.json").write_text(json.dumps({"metrics": {}, "samples": samples}))
    with visited(window, tmp_path) as address:
        window.open(f"{address}#/sweeps/done/trials/t000")
        window.until_text("on the front", "Trajectory", "completed", "first at its rung", "must be forgotten")
        window.until_text("letheon pull done --select t000@3 --fraction 0.05", "Under attack", "worst", "(nothing)")
        window.click(window.button("1"))
        window.until_text("In Paris.", "true answer: In Rome.")
        assert [one.text for one in window.all(".said > li:first-child small")][:2] == ["target model", "retain model"]
        window.until_text("In Nice.")
        window.until_painted(2)
        window.open(f"{address}#/sweeps/done/trials/t001")
        window.until_text("none of this trial can be pulled", "rank 2 of 2 at rung 1")


def test_what_happens_arrives_by_itself(window: Window, tmp_path: Path) -> None:
    tale = Story()
    tale.add("sweep", state="preparing")
    folder = write_sweep(tmp_path, "live", tale.rows)
    with SweepLock(folder), visited(window, tmp_path) as address:
        window.open(f"{address}#/sweeps/live")
        window.until_text("The target model and the retain models are being made")
        tale.add("sweep", state="running", info={"slots": 2})
        tale.trial("t000", "0.05", "npo_rt")
        tale.report("t000", 1, -4.0, 0.58, rung=1)
        add_rows(folder, tale.rows[1:])
        window.until_text("1 of 4 trials", "Forgetting against utility", "t000@1", "running")
        known = len(tale.rows)
        tale.report("t000", 2, -1.0, 0.57)
        tale.end("t000", "completed", 2)
        tale.trial("t001", "0.05", "ga")
        add_rows(folder, tale.rows[known:])
        window.until_text("t000@2", "2 of 4 trials")
        assert [row.get_attribute("data-trial") for row in window.all("tr[data-trial]")] == ["t000", "t001"]
        degraded = {
            "state": "degraded",
            "since": 1.7e9,
            "cause": "connection refused",
            "behind": 7,
            "where": "http://x",
        }
        (folder / "tracking.json").write_text(json.dumps(degraded))
        window.until_text("Tracking is degraded", "connection refused", "7 rows waiting in the journal")


def test_a_server_that_goes_away_and_comes_back(window: Window, root: Path) -> None:
    with served(root) as address:
        window.open(f"{address}#/sweeps/sixty")
        window.until_text("Latest decisions")
    window.until_text("server does not answer", "Latest decisions")
    with served(root, port=int(address.rstrip("/").rpartition(":")[2])):
        window.until(lambda: "does not answer" not in window.text, "the page without the complaint")
        window.open("about:blank")
    assert all("ERR_CONNECTION" in complaint for complaint in window.complaints())


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("fresh", ("interrupted", "It was interrupted before its first trial", "letheon resume fresh")),
        ("broken", ("failed", "the target model did not fit", "It failed before its first trial")),
        ("stopped", ("interrupted", "letheon resume stopped", "Forgetting against utility")),
    ],
)
def test_sweeps_that_went_wrong_say_so(name: str, texts: tuple[str, ...], window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/{name}")
    window.until_text(*texts)


def test_a_sweep_that_is_not_there(window: Window, address: str) -> None:
    window.open(f"{address}#/sweeps/nope")
    window.until_text("is neither under")
    assert all("404" in complaint for complaint in window.complaints())  # which a browser logs for every 404


def test_no_text_of_a_sweep_becomes_markup(window: Window, tmp_path: Path) -> None:
    tale = Story()
    tale.add("sweep", state="running", info={"slots": 1})
    config = {"method": EVIL, "forget_fraction": 0.05, EVIL: EVIL}
    for name in ("t000", "t001"):
        tale.add(
            "trial", trial=name, stratum="0.05", config={**config, "learning_rate": 1e-4}, baseline={}, origin=EVIL
        )
        tale.report(name, 1, -3.0, 0.58, rung=1)
        tale.end(name, "pruned", 1, EVIL)
    tale.add("sweep", state="failed", detail=EVIL)
    write_sweep(tmp_path, "evil", tale.rows)
    with visited(window, tmp_path) as address:
        for page in ("", "#/sweeps/evil", "#/sweeps/evil/trials/t001"):
            window.open(address + page)
            window.until_text("<img src=x")
            assert window.run("return window.hacked") is None
            assert window.all('img[src="x"]') == []


@pytest.mark.parametrize(
    "page", ["", "#/sweeps/sixty", "#/sweeps/sixty/trials/t001", "#/sweeps/sixty/compare/t001/t002"]
)
def test_a_phone_needs_no_sideways_scrolling(page: str, window: Window, address: str) -> None:
    window.emulate(width=390, height=844)
    window.open(address + page)
    window.until(lambda: window.all(".card"), "the page")
    window.until_text("Every metric" if "trials" in page else "All other metrics" if "compare" in page else "10%")
    assert window.run("return document.documentElement.scrollWidth") <= 390
    window.picture(Path("/dev/null"))


def test_a_thousand_trials_are_shown(window: Window, tmp_path: Path) -> None:
    write_sweep(tmp_path, "thousand", LongStory(1000).rows, "budget.trials=1000")
    with visited(window, tmp_path) as address:
        window.open(f"{address}#/sweeps/thousand")
        window.until_text("1000 of 1000 trials", "page 1 of")
        window.until_painted(5 + SLICES)
        window.click(window.button("Next"))
        window.until_text("page 2 of")


def test_the_report_is_the_same_page_without_a_server(window: Window, tmp_path: Path) -> None:
    known = replace(record(LongStory(40).rows), name="kept", key="kept")
    file = tmp_path / "report.html"
    file.write_text(html_report(known, lambda _: ({"epochs": {"0": SAID, "1": SAID}}, {})))
    window.open(file.as_uri())
    window.until_text(*CARDS, "kept")
    window.until_painted(5 + SLICES)
    window.click(window.one("tr[data-trial] a"))
    window.until_text("What the model says", "Where was Ada born?")
    window.one("a.brand").click()
    window.until_text("Latest decisions")
