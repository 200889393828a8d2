"""Manifests, the choice of a checkpoint, and `pull` against honest, damaged and hostile stores."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from letheon.checkpoints.manifest import VerificationError, check_name, parse_manifest, read_manifest, verify
from letheon.checkpoints.select import EmptyFrontError, SelectionError, select
from letheon.tracking.reader.pull import Request, pull
from letheon.tracking.store.errors import SweepNotFoundError
from letheon.tracking.tracker import Tracker
from tests.letheon.tracking.store_support import Store
from tests.letheon.tracking.tracking_support import SPEC, front, save_checkpoint, save_front, story
from trainables.storage.manifest import write_manifest

FRONT = front(story())


# ---- manifests


def test_a_manifest_written_is_a_manifest_verified(tmp_path: Path) -> None:
    written = save_checkpoint(tmp_path, "t000", 3)
    folder = tmp_path / "t000" / "epoch-003"
    read = read_manifest(folder / "manifest.json")
    assert (read.trial, read.epoch) == ("t000", 3)
    assert read.digest == written.digest
    assert set(read.files) == {"config.json", "extra/chat_template.jinja", "model.safetensors"}
    assert read.metrics["loss"] is None  # NaN is not JSON
    verify(folder / "model", read)


REFUSED = (
    "../x.json a/../../x.json /etc/x.json a\\x.json ./x.json a//x.json .hidden.json x.bin x.pt x.pkl modeling.py x"
)
REFUSED += " pytorch_model.bin C:x.json %2e%2e/x.json manifest.json é.json"


@pytest.mark.parametrize("name", [*REFUSED.split(), "a\nb.json", "x" * 300 + ".json", ""])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(VerificationError):
        check_name(name)
    entry = {"sha256": "0" * 64, "bytes": 1}
    content = {"files": {name: entry}, "trial": "t000", "epoch": 1, "metrics": {}}
    with pytest.raises(VerificationError):
        parse_manifest(json.dumps(content).encode(), "here")


@given(st.text(max_size=40))
def test_no_accepted_name_leaves_its_folder(name: str) -> None:
    try:
        check_name(name)
    except VerificationError:
        return
    assert os.path.normpath(os.path.join("/root", name)) == f"/root/{name}"


@pytest.mark.parametrize("digest", ["", "0" * 63, "Z" * 64])
def test_a_manifest_without_real_digests_is_refused(digest: str) -> None:
    content = {"files": {"a.json": {"sha256": digest, "bytes": 1}}, "trial": "t", "epoch": 1, "metrics": {}}
    with pytest.raises(VerificationError, match="SHA-256"):
        parse_manifest(json.dumps(content).encode(), "here")


def test_a_manifest_of_a_pickle_or_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_manifest(tmp_path, "t000", 1, {})
    with pytest.raises(VerificationError, match="names no files"):
        read_manifest(tmp_path / "manifest.json")
    (tmp_path / "model" / "optimizer.pt").write_bytes(pickle.dumps({}))
    write_manifest(tmp_path, "t000", 1, {})
    with pytest.raises(VerificationError, match="pickles and code are refused"):
        read_manifest(tmp_path / "manifest.json")


# ---- the choice


@pytest.mark.parametrize(
    ("rule", "fraction", "least", "chosen"),
    [
        ("max-utility", 0.05, None, "t000@1"),
        ("max-forget", 0.05, None, "t000@3"),
        ("max-forget", 0.05, 0.9, "t000@2"),
        ("max-utility", 0.05, 0.9, "t000@1"),
        ("knee", 0.1, None, "t002@1"),
        ("t000@2", 0.05, None, "t000@2"),
        ("t002@1", None, None, "t002@1"),
    ],
)
def test_select(rule: str, fraction: float | None, least: float | None, chosen: str) -> None:
    found = select(FRONT, rule, fraction, least)
    assert f"{found.trial}@{found.epoch}" == chosen


@pytest.mark.parametrize(
    ("rule", "fraction", "least", "message"),
    [
        ("knee", None, None, r"--fraction is needed.*0\.05, 0\.1"),
        ("knee", 0.2, None, r"--fraction 0\.2.*0\.05, 0\.1 only"),
        ("best", 0.05, None, "must be one of knee, max-utility, max-forget or TRIAL@EPOCH"),
        ("t001@1", 0.05, None, r"t001@1: not on the front of fraction 0\.05, which has t000@1, t000@2, t000@3"),
        ("t001@1", 0.05, None, r"; why: letheon front sweep --why-not t001@1"),
        (
            "t001@9",
            None,
            None,
            r"t001@9: not on a front \(0\.05 has t000@1, t000@2, t000@3; 0\.1 has .*\); why: letheon front",
        ),
        ("max-forget", 0.05, 1.5, r"--min-utility 1\.5.*best is t000@1 with 0\.992"),
        ("t000@3", 0.05, 0.9, r"t000@3 with 0\.833.*max-forget"),
    ],
)
def test_a_choice_that_is_none_says_what_there_is(
    rule: str, fraction: float | None, least: float | None, message: str
) -> None:
    with pytest.raises(SelectionError, match=message):
        select(FRONT, rule, fraction, least)


def test_nothing_can_be_chosen_from_an_empty_front() -> None:
    with pytest.raises(EmptyFrontError, match="empty"):
        select({"strata": {"0.05": {"points": [], "knee": None}}})


# ---- pull


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Store:
    return Store(tmp_path_factory.mktemp("store"), empty_store)


@pytest.fixture
def study(request: pytest.FixtureRequest, store: Store) -> str:
    """A finished sweep of its own for the test, named after it."""
    name = str(request.node.name).replace("[", "-").replace("]", "")
    store.add(name, name)
    return name


KNEE_10 = Request("knee", 0.1)


def test_what_is_pulled_is_what_was_saved(store: Store, study: str, tmp_path: Path) -> None:
    to = tmp_path / "new" / "model"
    pulled = pull(study, to, store.root, Request("t000@2"), store.uri)
    saved = store.trials / study / "t000" / "epoch-002"
    assert pulled.path == to and (pulled.trial, pulled.epoch, pulled.fraction) == ("t000", 2, "0.05")
    assert sorted(os.listdir(to)) == ["config.json", "extra", "manifest.json", "model.safetensors"]
    assert (to / "manifest.json").read_bytes() == (saved / "manifest.json").read_bytes()
    assert load_file(to / "model.safetensors")["weight"].tolist() == [[2.0] * 4] * 4
    verify(to, read_manifest(to / "manifest.json"))
    assert pulled.metrics["model_utility"] == 0.58 and pulled.config["method"] == "npo_rt"
    assert str(to) in pulled.how_to_load()
    assert os.listdir(to.parent) == ["model"]


def test_a_pull_never_overwrites(store: Store, study: str, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="choose another folder"):
        pull(study, tmp_path, store.root, KNEE_10, store.uri)
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SelectionError, match="choose another folder"):
        pull(study, link, store.root, KNEE_10, store.uri)


def test_the_newest_sweep_of_a_name_is_pulled(store: Store, study: str, tmp_path: Path) -> None:
    rows = [{**row, "time": row["time"] + 999} for row in story()]
    trials = tmp_path / "trials"
    table = front(rows, study)
    save_front(trials, table)
    (trials / "t002" / "epoch-001" / "model" / "config.json").write_text('{"newer": true}')
    write_manifest(trials / "t002" / "epoch-001", "t002", 1, {})
    Tracker(store.root, study, study, SPEC, store.uri).finish(table, rows, trials)
    pull(study, tmp_path / "model", store.root, KNEE_10, store.uri)
    assert json.loads((tmp_path / "model" / "config.json").read_text()) == {"newer": True}


def test_a_sweep_that_is_not_there_or_not_finished(store: Store, study: str, tmp_path: Path) -> None:
    to = tmp_path / "model"
    with pytest.raises(SweepNotFoundError, match=study):
        pull("nothing", to, store.root, uri=store.uri)
    Tracker(store.root, f"{study}-2", "unfinished", SPEC, store.uri).sync(story()[:6])
    with pytest.raises(SweepNotFoundError, match=r"is running and has registered.*letheon resume unfinished"):
        pull("unfinished", to, store.root, uri=store.uri)
    empty = tmp_path / "empty"
    with pytest.raises(SweepNotFoundError, match="no tracking store"):
        pull("x", to, empty, uri=f"sqlite:///{empty / 'mlflow.db'}")
    assert not to.exists() and not empty.exists()


def test_one_name_in_two_studies_is_ambiguous(store: Store, study: str, tmp_path: Path) -> None:
    store.add(f"{study}-2", study)
    with pytest.raises(SweepNotFoundError, match="several studies"):
        pull(study, tmp_path / "model", store.root, KNEE_10, store.uri)
    assert pull(study, tmp_path / "model", store.root, KNEE_10, store.uri, study=study).study == study
