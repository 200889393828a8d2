"""The Grafana dashboard and the scrape configuration: they ask for nothing that is not exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from letheon.live.gauges import GAUGES

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
