"""Warm starts: results of earlier sweeps reach the searcher only, and only from the same experiment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from letheon.journal import Journal
from letheon.preparation.artifacts import Prepared
from letheon.search.controller import SweepController
from letheon.spec.load import dump_spec, load_spec
from letheon.spec.model import SweepSpec
from letheon.sweep.sweep import Sweep, SweepNotFound
from letheon.sweep.warm_start import WarmStartRefused, warm_rows

CONFIG = {"method": "npo", "forget_fraction": 0.1, "learning_rate": 5e-4, "beta": 0.05, "seed": 0}
METRICS = {"log10_forget_quality": -1.0, "model_utility": 0.6, "utility_ratio": 0.97, "loss": 1.0}
BASELINE = {"log10_forget_quality": -9.0, "model_utility": 0.62}


def prepared(data: str = "data", target: str = "target") -> Prepared:
    """The part of the prepared artifacts that a warm start reads."""
    return cast(Prepared, SimpleNamespace(data=data, target=SimpleNamespace(key=target)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one finished sweep, `one`, of two trials; the second never reported."""
    folder = tmp_path / "sweeps" / "one"
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(dump_spec(load_spec("quickstart")))
    journal = Journal(folder / "journal.jsonl")
    journal.append("sweep", state="running", info={"benchmark_digest": "data", "target_digest": "target"})
    for name in ("t000", "t001"):
        journal.append("trial", trial=name, stratum="0.1", config=CONFIG, baseline=BASELINE, origin="random")
    journal.append("report", trial="t000", epoch=1, metrics=METRICS, decision={"action": "continue"})
    journal.append("end", trial="t000", outcome="pruned", reason="r", epoch=1)
    return tmp_path


def sweep(root: Path, *earlier: str) -> Sweep:
    searcher: dict[str, Any] = {"name": "surrogate", "warm_start": list(earlier), "startup_trials": 1}
    fields = load_spec("quickstart").model_dump(mode="json")
    spec = SweepSpec.model_validate({**fields, "name": "two", "searcher": searcher})
    return Sweep(spec, "two", root)


def test_trials_with_a_report_are_copied(root: Path) -> None:
    [row] = warm_rows(sweep(root, "one"), prepared())
    wanted = {name: value for name, value in METRICS.items() if name != "loss"}
    assert row == {
        "trial": "one/t000",
        "stratum": "0.1",
        "config": CONFIG,
        "baseline": BASELINE,
        "points": [[1, wanted]],
        "outcome": "pruned",
    }


@pytest.mark.parametrize(("data", "target", "what"), [("x", "target", "benchmark"), ("data", "x", "target")])
def test_another_experiment_is_refused(root: Path, data: str, target: str, what: str) -> None:
    with pytest.raises(WarmStartRefused, match=f"its {what} digest is .*; data and target model must be the same"):
        warm_rows(sweep(root, "one"), prepared(data, target))


def test_an_unknown_sweep_is_refused_with_the_known_ones(root: Path) -> None:
    with pytest.raises(SweepNotFound, match="sweeps there: one"):
        warm_rows(sweep(root, "on"), prepared())


def test_the_searcher_learns_from_copied_trials_which_count_for_nothing_else(root: Path) -> None:
    warm = sweep(root, "one")
    journal = Journal(warm.journal)
    for fields in warm_rows(warm, prepared()):
        journal.append("warm", **fields)
    controller = SweepController(warm.spec, journal, {"0.1": BASELINE, "0.2": BASELINE})
    assert [trial.name for trial in controller.history.earlier] == ["one/t000"]
    best = controller.history.earlier[0].best
    assert best is not None
    assert best.point == pytest.approx((8 / 9, 0.85))
    assert not controller.history.trials
    assert not controller.history.progress
    assert controller.spent().epochs == 0
    first = controller.next_trial()
    assert first is not None
    assert first["trial"] == "t000"
    reopened = SweepController(warm.spec, Journal(warm.journal), {})
    assert [trial.name for trial in reopened.history.earlier] == ["one/t000"]
