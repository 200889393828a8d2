"""`pull` needs the tracking store only: by rule, alias and address, after an interrupt, next to another process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from letheon.checkpoints.manifest import read_manifest, verify
from letheon.checkpoints.select import SelectionError
from letheon.tracking.reader.partial import PullInProgress, partial_folder
from letheon.tracking.reader.pull import Request, pull
from letheon.tracking.store.artifact_readers import LocalReader
from letheon.tracking.store.connection import open_client
from letheon.tracking.store.errors import SweepNotFoundError
from letheon.tracking.tracker import Tracker
from tests.letheon.small_sweep import run
from tests.letheon.tracking.store_support import Store
from tests.letheon.tracking.tracking_support import SPEC, front, save_front, story
from trainables.storage.manifest import write_manifest

KNEE_10 = Request("knee", 0.1)
DIGEST = "0" * 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Store:
    one = Store(tmp_path_factory.mktemp("store"), empty_store)
    one.add("study", "sweep")
    return one


def saved(store: Store, trial: str, epoch: int) -> Path:
    return store.trials / "study" / trial / f"epoch-{epoch:03d}" / "manifest.json"


@pytest.fixture
def study(request: pytest.FixtureRequest, store: Store) -> str:
    """A finished sweep of the test's own, and its study, by the test's name."""
    name = str(request.node.name)
    store.add(name, name)
    return name


# ---- which checkpoint


@pytest.mark.parametrize(
    ("name", "request_", "chosen"),
    [
        ("sweep", Request("max-forget-05"), ("t000", 3)),
        ("sweep", Request("max-utility-05", 0.05), ("t000", 1)),
        ("sweep", Request("knee-10"), ("t002", 1)),
        ("models:/study@max-forget-05", Request(), ("t000", 3)),
        ("models:/study@max-forget-05", Request(min_utility=0.8), ("t000", 3)),
    ],
)
def test_a_checkpoint_by_its_alias(
    store: Store, tmp_path: Path, name: str, request_: Request, chosen: tuple[str, int]
) -> None:
    pulled = pull(name, tmp_path / "model", tmp_path / "no-root", request_, store.uri)
    assert (pulled.trial, pulled.epoch, pulled.sweep, pulled.study) == (*chosen, "sweep", "study")
    assert (tmp_path / "model" / "manifest.json").read_bytes() == saved(store, *chosen).read_bytes()


def test_a_checkpoint_by_its_version(store: Store, tmp_path: Path) -> None:
    client = open_client(store.uri)
    for version in client.search_model_versions("name = 'study'"):
        to = tmp_path / str(version.version)
        pulled = pull(f"models:/study/{version.version}", to, tmp_path, uri=store.uri)
        assert pulled.version == str(version.version)
        assert f"{pulled.trial}@{pulled.epoch}" == f"{version.tags['letheon.trial']}@{version.tags['letheon.epoch']}"
        assert pulled.digest == version.tags["letheon.manifest"]


@pytest.mark.parametrize(
    ("name", "request_", "error", "text"),
    [
        ("sweep", Request("knee-99"), SelectionError, r"TRIAL@EPOCH or an alias: knee-05, knee-10, max-forget-05"),
        ("sweep", Request("max-forget-05", 0.1), SelectionError, r"t000@3: not on the front of fraction 0\.1"),
        ("sweep", Request("max-forget-05", min_utility=0.9), SelectionError, r"--min-utility 0\.9: t000@3 is"),
        ("models:/study@knee-99", Request(), SweepNotFoundError, "no such alias; there are: knee-05"),
        ("models:/study/99", Request(), SweepNotFoundError, "no such model version"),
        ("models:/study", Request(), SweepNotFoundError, "must be models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/st'udy/1", Request(), SweepNotFoundError, "must be models:/NAME@ALIAS"),
        ("models:/study@knee-05", Request("max-forget"), SelectionError, "one checkpoint already"),
    ],
)
def test_an_address_that_matches_nothing_lists_what_there_is(
    store: Store, tmp_path: Path, name: str, request_: Request, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        pull(name, tmp_path / "model", tmp_path, request_, store.uri)
    assert os.listdir(tmp_path) == []


def test_an_alias_stays_with_the_sweep_whose_checkpoint_is_no_worse(tmp_path: Path, empty_store: Path) -> None:
    store = Store(tmp_path / "store", empty_store)
    store.add("study", "first")
    shutil.rmtree(store.trials)
    store.add("study", "second")
    to = tmp_path / "model"
    with pytest.raises(SelectionError, match="now a checkpoint of another sweep, 'first'"):
        pull("second", to, tmp_path, Request("knee-05"), store.uri)
    assert pull("models:/study@knee-05", to, tmp_path, uri=store.uri).sweep == "first"


def test_a_checkpoint_that_has_not_forgotten_is_refused_if_that_is_required(store: Store, tmp_path: Path) -> None:
    request = Request("max-utility", 0.05, require="forgotten")
    with pytest.raises(SelectionError, match=r"t000@1 is not forgotten \(p = 1e-06 .*these have: t000@2, t000@3"):
        pull("sweep", tmp_path / "model", tmp_path, request, store.uri)
    assert not (tmp_path / "model").exists()
    pulled = pull("sweep", tmp_path / "model", tmp_path, Request("max-utility", 0.05), store.uri)
    assert pulled.verdict == "not forgotten" and pulled.doubt is not None
    assert (
        pull("sweep", tmp_path / "knee", tmp_path, Request("knee", 0.05, require="forgotten"), store.uri).doubt is None
    )


def test_a_version_that_letheon_did_not_register_is_refused(store: Store, tmp_path: Path) -> None:
    client = open_client(store.uri)
    client.create_registered_model("foreign")
    client.create_model_version("foreign", f"{tmp_path.as_uri()}/x", await_creation_for=0)
    with pytest.raises(SweepNotFoundError, match="was not registered by letheon"):
        pull("models:/foreign/1", tmp_path / "model", tmp_path, uri=store.uri)


def test_the_command_needs_nothing_but_the_tracking_store(store: Store, tmp_path: Path) -> None:
    arguments = ["pull", "sweep", "--select", "max-forget", "--fraction", "0.05", "--min-utility", "0.9"]
    done = run(*arguments, "--tracking-uri", store.uri, "--to", "model", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epoch"] == 2
    assert os.listdir(tmp_path) == ["model"]
    verify(tmp_path / "model", read_manifest(tmp_path / "model" / "manifest.json"))


def test_what_is_pulled_is_what_was_saved(store: Store, tmp_path: Path) -> None:
    to = tmp_path / "new" / "model"
    pulled = pull("sweep", to, store.root, Request("t000@2"), store.uri)
    saved = store.trials / "study" / "t000" / "epoch-002"
    assert pulled.path == to and (pulled.trial, pulled.epoch, pulled.fraction) == ("t000", 2, "0.05")
    assert sorted(os.listdir(to)) == ["config.json", "extra", "manifest.json", "model.safetensors"]
    assert (to / "manifest.json").read_bytes() == (saved / "manifest.json").read_bytes()
    assert load_file(to / "model.safetensors")["weight"].tolist() == [[2.0] * 4] * 4
    verify(to, read_manifest(to / "manifest.json"))
    assert pulled.metrics["model_utility"] == 0.58 and pulled.config["method"] == "npo_rt"
    assert str(to) in pulled.how_to_load()
    assert os.listdir(to.parent) == ["model"]


def test_a_pull_never_overwrites(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="choose another folder"):
        pull("sweep", tmp_path, store.root, KNEE_10, store.uri)
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SelectionError, match="choose another folder"):
        pull("sweep", link, store.root, KNEE_10, store.uri)


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


def test_a_sweep_that_is_absent_or_unfinished_is_refused(store: Store, tmp_path: Path) -> None:
    to = tmp_path / "model"
    with pytest.raises(SweepNotFoundError, match=r"there: .*sweep"):
        pull("nothing", to, store.root, uri=store.uri)
    Tracker(store.root, "study-2", "unfinished", SPEC, store.uri).sync(story()[:6])
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


# ---- interrupted


class Breaking:
    """Pulls into a folder, and is interrupted at the n-th file of the model, counted from 0 in each pull."""

    def __init__(self, store: Store, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        self._store, self._to, self._at = store, to, 0
        real = LocalReader.save

        def save(reader: LocalReader, path: str, target: Path, limit: int) -> None:
            if "/model/" in path:
                if len(self.read) == self._at:
                    target.write_bytes(b"half")
                    raise KeyboardInterrupt
                self.read.append(path.rpartition("/")[2])
            real(reader, path, target, limit)

        monkeypatch.setattr(LocalReader, "save", save)

    def pull(self, at: int = 99, request: Request = KNEE_10) -> list[str]:
        """The files that were read, up to the interrupt if there is one."""
        self.read, self._at = [], at
        with nullcontext() if at == 99 else pytest.raises(KeyboardInterrupt):
            pull("sweep", self._to, self._to.parent, request, self._store.uri)
        return self.read


@pytest.fixture
def breaking(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Breaking:
    return Breaking(store, tmp_path / "model", monkeypatch)


def test_a_pull_that_broke_off_goes_on_where_it_was(breaking: Breaking, tmp_path: Path) -> None:
    first = breaking.pull(at=2)
    assert os.listdir(tmp_path) == [".model.partial"] and len(first) == 2
    assert sorted(first + breaking.pull()) == ["chat_template.jinja", "config.json", "model.safetensors"]
    assert os.listdir(tmp_path) == ["model"]
    verify(tmp_path / "model", read_manifest(tmp_path / "model" / "manifest.json"))


def test_files_damaged_in_between_are_downloaded_again(breaking: Breaking, tmp_path: Path) -> None:
    breaking.pull(at=2)
    [folder] = (tmp_path / ".model.partial").glob("*/model")
    (folder / "foreign.json").write_text("{}")
    (folder.parent / ".incoming.1").write_text("half a file")
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "model.safetensors").symlink_to("/etc/hostname")
    (folder / "config.json").write_text("{}")
    read = breaking.pull(at=1)
    assert sorted(os.listdir(folder.parent)) == ["manifest.json", "model"]
    assert {"config.json", "model.safetensors"} <= {*read, *breaking.pull()}
    verify(tmp_path / "model", read_manifest(tmp_path / "model" / "manifest.json"))


def test_another_checkpoint_replaces_one_that_was_interrupted(breaking: Breaking, tmp_path: Path) -> None:
    breaking.pull(at=2)
    breaking.pull(request=Request("t000@1"))
    assert read_manifest(tmp_path / "model" / "manifest.json").epoch == 1
    assert os.listdir(tmp_path) == ["model"]


# ---- another process

HOLD = """
import sys
from pathlib import Path
from letheon.tracking.reader.partial import partial_folder
with partial_folder(Path(sys.argv[1]), "0" * 64) as folder:
    (folder / "half").write_text("x")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(store: Store, tmp_path: Path) -> None:
    to = tmp_path / "model"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(to)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(PullInProgress, match=f"process {first.pid} is pulling"):
            pull("sweep", to, tmp_path, KNEE_10, store.uri)
        first.kill()
        first.wait(30)
    pull("sweep", to, tmp_path, KNEE_10, store.uri)
    assert os.listdir(tmp_path) == ["model"]


def test_files_of_others_are_neither_used_nor_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".model.partial").symlink_to(elsewhere)
    with pytest.raises(PullInProgress, match="not a folder of yours"), partial_folder(tmp_path / "model", DIGEST):
        pass
    assert os.listdir(elsewhere) == []
    (tmp_path / ".other.partial").mkdir()
    (tmp_path / ".other.partial" / "mine").write_text("x")
    with partial_folder(tmp_path / "other", DIGEST):
        pass
    assert os.listdir(tmp_path / ".other.partial") == ["mine"]
