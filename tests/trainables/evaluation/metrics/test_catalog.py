"""The catalog knows what evaluations report, and its page is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainables.evaluation.small import ALL_SETTINGS, examine, small_model
from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import default_objectives
from trainables.evaluation.metrics.catalog import CATALOG, metric_info
from trainables.evaluation.metrics.catalog_page import page
from trainables.evaluation.metrics.summary import compare, retain_reference

BENCHMARKS = ("fictional", "tofu", "lume", "muse", "qa", "text", "synthetic")


def test_the_page_is_current() -> None:
    current = (Path(__file__).parents[4] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert current == page(), "run python -m trainables.evaluation.metrics.catalog_page > docs/metrics.md"


def test_every_metric_of_an_evaluation_is_known_or_recorded_only() -> None:
    evaluation = examine(small_model(), ALL_SETTINGS)
    found = compare(evaluation, retain_reference(evaluation.details), 1.0)
    unknown = {name for name in found if metric_info(name) is None}
    assert {name for name in unknown if not name.startswith("holdout_")} == {"eval_seconds", "privleak", "loss_shift"}
    known = set(CATALOG) & set(found)
    assert {name for name in CATALOG if name.startswith("mia_")} <= known
    for name in known | {name for name in found if metric_info(name)}:
        info = metric_info(name)
        assert info is not None
        low, high = sorted((info.worst, info.best))
        assert name.startswith("mia_") or low - 1e-9 <= found[name] <= high + 1e-9 or info.ratio_to_target, name


@pytest.mark.parametrize(
    "name", ["", "_rouge", "rouge", "privleak", "holdout_probability", "audit_nf4_probability", "Retain_rouge", "loss"]
)
def test_what_no_sweep_can_search_on(name: str) -> None:
    assert metric_info(name) is None


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_default_objectives_are_in_the_catalog(benchmark: str) -> None:
    for name, better in default_objectives(benchmark).items():
        info = metric_info(name)
        assert info is not None
        assert info.better == better
    assert set(BENCHMARKS) == set(BenchmarkConfig.model_fields["name"].annotation.__args__)  # type: ignore[union-attr]
