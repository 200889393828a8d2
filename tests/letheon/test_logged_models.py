"""Front points as logged models and described versions: once each, with the metrics that their trial's run has."""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion

from letheon.tracking import Registration, Tracker
from letheon.tracking.store import open_client
from tests.letheon.tracking_support import SPEC, Rows, audited_story, experiment_of, front, save_front, story

FULL = {**SPEC, "benchmark": {"name": "fictional"}}


def models(uri: str, filter_string: str | None = None) -> dict[str, LoggedModel]:
    client = open_client(uri)
    found = client.search_logged_models([experiment_of(client)], filter_string)
    by_name = {model.name: model for model in found}
    assert len(by_name) == len(found)
    return by_name


def finish(uri: str, folder: Path, rows: Rows) -> Registration:
    return Tracker(folder, "study", "sweep", FULL, uri).finish(front(rows), rows, folder / "trials")


def test_every_front_point_is_a_logged_model_once(fresh_store: str, tmp_path: Path) -> None:
    save_front(tmp_path / "trials", front(story()))
    first = finish(fresh_store, tmp_path, story())
    assert finish(fresh_store, tmp_path, story()) == first
    found = models(fresh_store)
    assert set(found) == {f"sweep-t000-epoch-{epoch}" for epoch in (1, 2, 3)} | {"sweep-t002-epoch-1"}
    model = found["sweep-t000-epoch-2"]
    assert model.status == LoggedModelStatus.READY
    assert model.params is not None
    assert model.metrics is not None
    assert (model.params.get("method"), model.tags["letheon.fraction"]) == ("npo_rt", "0.05")
    assert {metric.key: metric.value for metric in model.metrics}["model_utility"] == 0.58
    client = open_client(fresh_store)
    run_id = str(model.source_run_id)
    assert [m.step for m in client.get_metric_history(run_id, "model_utility")] == [0, 1, 2, 3]
    outputs = client.get_run(run_id).outputs
    assert outputs is not None and sorted(one.step for one in outputs.model_outputs) == [1, 2, 3]
    assert set(models(fresh_store, "metrics.`model_utility` > 0.57")) == {"sweep-t000-epoch-1", "sweep-t000-epoch-2"}


def test_an_audit_is_told_to_models_and_descriptions(fresh_store: str, tmp_path: Path) -> None:
    save_front(tmp_path / "trials", front(story()))
    model = finish(fresh_store, tmp_path, story()).model
    finish(fresh_store, tmp_path, audited_story())
    metrics = models(fresh_store)["sweep-t000-epoch-2"].metrics
    assert metrics is not None and {m.key: m.value for m in metrics}["audit_worst_forget_rouge"] == 0.4
    told = {v.tags["letheon.epoch"]: str(v.description) for v in _versions(fresh_store, model, "0.05")}
    assert "| `audit_worst_forget_rouge` | 0.4 | - | 0.2 |" in told["2"]
    assert "| `model_utility` | 0.58 | 0.6 | 0.61 |" in told["2"]
    assert "of fictional" in told["2"] and "--select t000@2 --fraction 0.05" in told["2"]


def _versions(uri: str, model: str, fraction: str) -> list[ModelVersion]:
    found = open_client(uri).search_model_versions(f"name = '{model}'")
    return [version for version in found if version.tags["letheon.fraction"] == fraction]
