"""The Grafana dashboard and the scrape configuration: they ask for nothing that is not exported."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from letheon.live.gauges import GAUGES
from letheon.scratch import PREFIX
from letheon.session import DISCOVERY

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
    """Those of panels and of variables."""
    variables = [one["definition"] for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    return [*expressions(), *variables]


def filled(expression: str, sweep: str = "study") -> str:
    """With the variables that Grafana would put in."""
    return expression.replace("$sweep", sweep).replace("$stratum", ".*")


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


def test_legends_name_labels_that_the_query_keeps() -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            kept = {it.strip() for one in re.findall(r"by \(([^)]*)\)", target["expr"])[:1] for it in one.split(",")}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, target


def test_no_reference_dangles() -> None:
    document = dashboard()
    variables = {one["name"]: one for one in document["templating"]["list"]}
    text = json.dumps(document["panels"]) + json.dumps([one.get("query") for one in variables.values()])
    assert set(re.findall(r"\$\{?(\w+)", text)) == set(variables) == {"datasource", "sweep", "stratum"}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    sources = [one["datasource"] for one in walk(document) if "datasource" in one]
    builtin = {"type": "grafana", "uid": "-- Grafana --"}
    assert all(one in ({"type": "prometheus", "uid": "${datasource}"}, builtin) for one in sources)
    assert len(sources) > len(document["panels"])


def walk(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from walk(child)


def test_the_document_is_one_that_grafana_imports() -> None:
    document = dashboard()
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", document["uid"]) and document["title"]
    assert document["schemaVersion"] >= 36 and document.get("id") is None
    panels = document["panels"]
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    assert {panel["type"] for panel in panels} <= {"stat", "timeseries", "bargauge"}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)) >= 1
    for one, other in itertools.combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_prometheus_reads_the_files_that_ray_and_the_sweeps_write() -> None:
    [job] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    [discovery] = job["file_sd_configs"]
    assert discovery["files"] == [f"/tmp/ray/{DISCOVERY}", f"/tmp/{PREFIX}*.json"]
    for pattern in discovery["files"]:  # Prometheus's own rule
        assert re.fullmatch(r"[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)", pattern)


@needs_promtool
def test_prometheus_accepts_its_configuration_and_every_expression(tmp_path: Path) -> None:
    def promtool(*arguments: str | Path) -> None:
        done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    promtool("check", "config", FOLDER / "prometheus.yml")
    rules = [{"record": f"panel:{i}", "expr": filled(expression)} for i, expression in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)
