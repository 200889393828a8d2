"""The front in the registry: a version per point once, with aliases, whatever is damaged or repeated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Run

from letheon.tracking.registry import alias_suffix
from letheon.tracking.store.connection import local_folder, open_client
from letheon.tracking.tracker import Tracker
from tests.letheon.tracking.tracking_support import (
    SPEC,
    Story,
    audited_story,
    front,
    recorded_runs,
    save_and_register,
    save_front,
    story,
)


def test_the_front_is_registered_once_with_aliases(store: str, study: str, tmp_path: Path) -> None:
    rows, trials = story(), tmp_path / "trials"
    table = front(rows)
    save_front(trials, table)
    files: dict[str, bytes | str] = {"front.html": "<p>front", "front.png": b"png"}
    first, again = (Tracker(tmp_path, study, "sweep", SPEC, store).finish(table, rows, trials, files) for _ in range(2))
    assert again == first
    client = open_client(store)
    versions = {str(v.version): v for v in client.search_model_versions(f"name = '{study}'")}
    assert len(versions) == len(first.points) == 4
    assert first.aliases == {str(k): str(v) for k, v in client.get_registered_model(study).aliases.items()}
    assert set(first.aliases) == {f"{rule}-{s}" for rule in ("knee", "max-utility", "max-forget") for s in ("05", "10")}
    named = {alias: versions[version].tags for alias, version in first.aliases.items()}
    assert (named["max-utility-05"]["letheon.trial"], named["max-utility-05"]["letheon.epoch"]) == ("t000", "1")
    assert (named["max-forget-05"]["letheon.trial"], named["max-forget-05"]["letheon.epoch"]) == ("t000", "3")
    assert named["knee-10"]["letheon.trial"] == "t002" and named["knee-10"]["model_utility"] == "0.56"
    assert len(named["knee-05"]["letheon.manifest"]) == 64
    [parent] = recorded_runs(store, study, "tags.`letheon.kind` = 'sweep'")
    _check_parent(client, parent, first.model)


def _check_parent(client: MlflowClient, parent: Run, model: str) -> None:
    paths = {entry.path for entry in client.list_artifacts(parent.info.run_id)}
    tables = {"front.json", "front_table.json", "decisions.json"}
    assert paths == {"spec.yaml", "environment.json", *tables, "front.html", "front.png"}
    folder = local_folder(str(parent.info.artifact_uri))
    assert folder is not None
    logged = json.loads((folder / "front.json").read_text())
    checkpoints = [point["checkpoint"] for point in logged["strata"]["0.05"]["points"]]
    assert checkpoints and all(uri.startswith(f"models:/{model}/") for uri in checkpoints)
    decisions = json.loads((folder / "decisions.json").read_text())
    assert decisions["columns"][:3] == ["trial", "epoch", "action"] and len(decisions["data"]) == 6
    assert parent.data.metrics["front_points/0.05"] == 3.0
    assert len(client.get_metric_history(parent.info.run_id, "hypervolume/0.05")) == 3


def test_an_upload_that_arrived_damaged_is_made_again(
    store: str, study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MlflowClient.log_artifact
    damaged: list[str] = []

    def torn(self: MlflowClient, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        if local_path.endswith(".safetensors") and not damaged:
            damaged.append(local_path)
            half = tmp_path / "model.safetensors"
            half.write_bytes(Path(local_path).read_bytes()[:-3])
            local_path = str(half)
        real(self, run_id, local_path, artifact_path)

    monkeypatch.setattr(MlflowClient, "log_artifact", torn)
    registration = save_and_register(tmp_path, store, study)
    assert damaged and len(registration.points) == 4


def test_an_empty_front_registers_nothing(store: str, study: str, tmp_path: Path) -> None:
    tale = Story()
    tale.add("sweep", state="running")
    tale.trial("t000", "0.05", "ga")
    tale.report("t000", 1, -3.0, 0.1)
    registration = Tracker(tmp_path, study, "sweep", SPEC, store).finish(
        front(tale.rows), tale.rows, tmp_path / "trials"
    )
    assert (registration.points, dict(registration.aliases)) == ((), {})
    assert open_client(store).search_registered_models(f"name = '{study}'") == []


@pytest.mark.parametrize(
    ("fraction", "suffix"),
    [(0.05, "05"), ("0.05", "05"), (0.10, "10"), (0.25, "25"), (0.01, "01"), (0.005, "0p5"), (0.125, "12p5")],
)
def test_the_alias_of_a_fraction(fraction: float | str, suffix: str) -> None:
    assert alias_suffix(fraction) == suffix


@given(st.lists(st.integers(1, 9999), min_size=2, max_size=2, unique=True))
def test_different_fractions_have_different_aliases(parts: Sequence[int]) -> None:
    one, other = (alias_suffix(f"{part / 10_000:g}") for part in parts)
    assert one != other


def test_an_audit_after_registration_is_added_to_the_versions(store: str, study: str, tmp_path: Path) -> None:
    save_and_register(tmp_path, store, study)
    save_and_register(tmp_path, store, study, rows=audited_story())
    versions = open_client(store).search_model_versions(f"name = '{study}'")
    assert len(versions) == 4
    of_stratum = [version.tags for version in versions if version.tags["letheon.fraction"] == "0.05"]
    audited = {tags["letheon.epoch"]: tags.get("audit_worst_forget_rouge") for tags in of_stratum}
    assert audited == {"1": None, "2": "0.4", "3": None}
