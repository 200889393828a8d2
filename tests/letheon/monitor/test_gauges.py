"""The gauges have every number of the view and everything that the Grafana dashboard queries, and never fail."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from letheon.monitor.exporter import Exporter, exporter_of
from letheon.monitor.gauges import GAUGES, REASONS, STATES, TRIAL_STATES, Reading, readings
from tests.letheon.dashboard.support import small_spec, write_sweep
from tests.letheon.monitor.stories import Rows, tales
from tests.letheon.monitor.views import STATES as VIEWS
from tests.letheon.monitor.views import view_of

RUNNING = VIEWS["running"]


def by_tags(name: str, *labels: str, view: str = "running") -> dict[tuple[str, ...], float]:
    found = [one for one in readings(VIEWS[view]) if one.gauge == name]
    return {tuple(one.tags[label] for label in labels): one.value for one in found}


@given(tales())
@settings(max_examples=40)
def test_every_reading_is_declared_and_each_series_has_one(rows: Rows) -> None:
    found = list(readings(view_of(rows)))
    series = [(one.gauge, tuple(sorted(one.tags.items()))) for one in found]
    assert len(series) == len(set(series))
    for one in found:
        assert set(one.tags) == set(GAUGES[one.gauge].tag_keys)
        assert isinstance(one.value, float)
        assert one.value >= 0 or math.isnan(one.value)
    assert {one.gauge for one in readings(VIEWS["hours"])} == set(GAUGES)


def test_the_numbers_are_those_of_the_view() -> None:
    trials = by_tags("letheon_trials", "stratum", "state")
    for key, stratum in RUNNING.strata.items():
        assert sum(trials[key, state] for state in TRIAL_STATES) == stratum.started
        assert by_tags("letheon_hypervolume", "stratum")[key,] == stratum.front["hypervolume"]
        assert by_tags("letheon_trial_epochs", "stratum")[key,] == stratum.epochs
    gpu, slots = by_tags("letheon_gpu_seconds", "use"), by_tags("letheon_slot_seconds", "use")
    assert sum(slots.values()) == pytest.approx(RUNNING.cost.total.busy + RUNNING.cost.idle)
    assert all(gpu[use] == slots[use] * RUNNING.cost.gpus for use in slots)
    counts = RUNNING.state.counts
    assert by_tags("letheon_pruned_trials", "reason") == {
        (reason,): counts.get(outcome, 0) for outcome, reason in REASONS.items()
    }
    assert by_tags("letheon_seconds_left")[()] == RUNNING.left.seconds
    assert by_tags("letheon_tracking_rows_behind", view="degraded")[()] == 17


def test_past_states_are_zero_and_unknown_values_are_nan() -> None:
    states = by_tags("letheon_sweep_state", "state", view="interrupted")
    assert states == {(state,): float(state == "interrupted") for state in STATES}
    assert by_tags("letheon_trials", "stratum", "state", view="finished")["0.05", "running"] == 0.0
    assert math.isnan(by_tags("letheon_seconds_left", view="preparing")[()])
    assert math.isnan(by_tags("letheon_planned_trials", view="hours")[()])


def test_a_failure_ends_only_the_export(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def read() -> Iterator[Reading]:
        calls.append(1)
        raise OSError("the disk is gone")

    exporter = Exporter(read)
    exporter.export()
    exporter.export()
    assert (len(calls), exporter.problem) == (1, "OSError: the disk is gone")
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    unknown = Exporter(lambda: [Reading("letheon_nothing", {}, 1.0)])
    unknown.export()
    assert unknown.problem is not None


def test_ray_accepts_every_reading_even_without_a_session() -> None:
    for view in VIEWS.values():
        exporter = Exporter(lambda view=view: readings(view))  # type: ignore[misc]  # mypy cannot infer the default's type
        exporter.export()
        assert exporter.problem is None


def test_a_damaged_journal_does_not_reach_the_sweep(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write_sweep(tmp_path_factory.mktemp("root"), "study", [])
    (folder / "journal.jsonl").write_bytes(b"no row\n" * 2)
    exporter = exporter_of(folder, small_spec())
    exporter.export()
    assert exporter.problem is not None and exporter.problem.startswith("JournalError")


# ---- the Grafana dashboard asks for nothing that is not exported

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "grafana"
RAY_PREFIX = "ray_"
SELECTOR = re.compile(r"\b(ray_letheon_\w+)(?:\{([^}]*)\})?")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool (Debian: apt install prometheus)"
)


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / "letheon.json").read_text())
    return document


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def queries() -> list[str]:
    """The queries of panels and variables."""
    variables = [one["definition"] for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    return [*expressions(), *variables]


def test_every_metric_and_label_is_exported() -> None:
    for query in queries():
        found = SELECTOR.findall(query)
        assert found, query
        for metric, selectors in found:
            gauge = GAUGES[metric.removeprefix(RAY_PREFIX)]
            assert set(re.findall(r"(\w+)\s*[=!]", selectors)) <= set(gauge.tag_keys), query
            for grouped in re.findall(r"by \(([^)]*)\)", query):
                assert {it.strip() for it in grouped.split(",")} <= set(gauge.tag_keys), query


def test_every_gauge_is_shown() -> None:
    shown = {metric.removeprefix(RAY_PREFIX) for query in queries() for metric, _ in SELECTOR.findall(query)}
    assert shown == set(GAUGES)


@needs_promtool
def test_prometheus_accepts_its_configuration_and_every_expression(tmp_path: Path) -> None:
    def promtool(*arguments: str | Path) -> None:
        done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    promtool("check", "config", FOLDER / "prometheus.yml")
    filled = [one.replace("$sweep", "study").replace("$stratum", ".*") for one in expressions()]  # as Grafana does
    rules = [{"record": f"panel:{i}", "expr": expression} for i, expression in enumerate(filled)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)
