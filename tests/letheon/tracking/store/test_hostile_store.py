"""`pull` from a real store with malicious files in it, and malicious manifests even where they are registered.

Whatever is planted, nothing reaches the target or any other path, and nothing is loaded. Hostile servers are in
`test_lying_server.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from letheon.checkpoints.manifest import MAX_MANIFEST_BYTES, VerificationError
from letheon.tracking.reader.pull import Request, pull
from letheon.tracking.store.connection import local_folder, open_client
from tests.letheon.tracking.store_support import Store
from tests.letheon.tracking.tracking_support import recorded_runs
from trainables.storage.manifest import write_manifest

POINT = Request("t002@1")  # pulled in every test here; lies at checkpoints/epoch-001 of its trial's run


class Trap:
    """Its pickle creates a folder when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


# ---- planted in a real store on this file system


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Store:
    one = Store(tmp_path_factory.mktemp("store"), empty_store)
    one.add("study", "sweep")
    return one


@pytest.fixture
def checkpoint(store: Store, tmp_path: Path) -> Iterator[Path]:
    """The point's folder in the store, restored after the test."""
    folder = store.checkpoint("study")
    shutil.copytree(folder, tmp_path / "honest")
    yield folder
    elsewhere = folder.parents[2] / "elsewhere"  # of a link
    if elsewhere.is_dir():
        shutil.rmtree(elsewhere)
    else:
        elsewhere.unlink(missing_ok=True)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "honest", folder)


def _flip(folder: Path) -> None:
    path = folder / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _forged(folder: Path) -> None:
    """An account that can write artifacts can forge a matching manifest, but not the digest in the registry."""
    _flip(folder)
    write_manifest(folder, "t002", 1, {})


def _traversal(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../../../escaped.json"] = {"sha256": "0" * 64, "bytes": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _linked(name: str) -> Callable[[Path], None]:
    """The same content, moved elsewhere and linked."""

    def plant(folder: Path) -> None:
        copy = folder.parents[2] / "elsewhere"
        (folder / name).rename(copy)
        (folder / name).symlink_to(copy)

    return plant


def _link_out(folder: Path) -> None:
    (folder / "model" / "config.json").unlink()
    (folder / "model" / "config.json").symlink_to("/etc/hostname")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(folder / "model")  # the path of a socket has at most 107 bytes
        try:
            one.bind("s.json")
        finally:
            os.chdir(here)


def _file(name: str, content: bytes = b"{}") -> Callable[[Path], None]:
    """One more file."""

    def plant(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return plant


PLANTED: dict[str, Callable[[Path], object]] = {
    "a flipped bit": _flip,
    "one byte more": lambda folder: (folder / "model" / "config.json").open("ab").write(b" "),
    "another file": _file("model/generation_config.json"),
    "a pickle": _file("model/pytorch_model.bin", pickle.dumps({})),
    "code": _file("model/modeling_x.py", b"raise SystemExit"),
    "a file next to the model": _file("more.json"),
    "a folder of pickles": _file("data.pkl/x.pkl", pickle.dumps({})),
    "control characters": _file("model/a\x1b[2J\n.json"),
    "a hidden file": _file("model/.config.json"),
    "a colliding name": _file("model/CONFIG.json"),
    "a backslash": _file("model/a\\b.json"),
    "a missing file": lambda folder: (folder / "model" / "config.json").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "a link out": _link_out,
    "a link": _linked("model/config.json"),
    "a linked folder": _linked("model"),
    "a linked manifest": _linked("manifest.json"),
    "a pipe": lambda folder: os.mkfifo(folder / "model" / "pipe.json"),
    "a socket": _socket,
    "a forged manifest": _forged,
    "a path that leads out": _traversal,
    "a terabyte": lambda folder: os.truncate(folder / "model" / "config.json", 2**40),
    "a manifest of a terabyte": lambda folder: os.truncate(folder / "manifest.json", 2**40),
    "deep folders": lambda folder: (folder / "model" / "/".join("abcdefghijkl")).mkdir(parents=True),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_in_a_store_is_refused(store: Store, checkpoint: Path, tmp_path: Path, name: str) -> None:
    PLANTED[name](checkpoint)
    with pytest.raises(VerificationError) as caught:
        pull("sweep", tmp_path / "out" / "model", store.root, POINT, store.uri)
    assert str(caught.value).isprintable()
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "extra/chat_template.jinja", "manifest.json"])
def test_nothing_is_unpickled(store: Store, checkpoint: Path, tmp_path: Path, name: str) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    target = checkpoint / name if name == "manifest.json" else checkpoint / "model" / name
    target.write_bytes(trap)
    with pytest.raises(VerificationError):
        pull("sweep", tmp_path / "model", store.root, POINT, store.uri)
    if name != "manifest.json":  # again, with a registered manifest that names it
        write_manifest(checkpoint, "t002", 1, {})
        data = (checkpoint / "manifest.json").read_bytes()
        with registered(store, hashlib.sha256(data).hexdigest()):
            if name == "model.safetensors":
                with pytest.raises(VerificationError, match="not a safetensors file"):
                    pull("sweep", tmp_path / "model", store.root, POINT, store.uri)
            else:
                pull("sweep", tmp_path / "model", store.root, POINT, store.uri)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap)
    assert (tmp_path / "sprung").exists()


class registered:
    """Within the block the registry says that the point's manifest has this digest."""

    def __init__(self, store: Store, digest: str) -> None:
        self._client, self._digest = open_client(store.uri), digest
        [self._version] = [
            version
            for version in self._client.search_model_versions("name = 'study'")
            if version.tags["letheon.trial"] == "t002"
        ]

    def _say(self, digest: str) -> None:
        self._client.set_model_version_tag("study", self._version.version, "letheon.manifest", digest)

    def __enter__(self) -> None:
        self._say(self._digest)

    def __exit__(self, *_: object) -> None:
        self._say(self._version.tags["letheon.manifest"])


ENTRY = {"sha256": "0" * 64, "bytes": 1}


def _manifest(*names: str, **fields: Any) -> bytes:
    return json.dumps(
        {"files": dict.fromkeys(names, ENTRY), "trial": "t002", "epoch": 1, "metrics": {}, **fields}
    ).encode()


MANIFESTS = {
    "parent": _manifest("../../../x.json"),
    "absolute": _manifest("/etc/x.json"),
    "backslash": _manifest("..\\x.json"),
    "control": _manifest("a\x1b[2J\n.json"),
    "hidden": _manifest(".bashrc.json"),
    "pickle": _manifest("pytorch_model.bin"),
    "code": _manifest("modeling_x.py"),
    "itself": _manifest("manifest.json"),
    "long": _manifest("x" * 10**6 + ".json"),
    "deep name": _manifest("a/" * 50 + "x.json"),
    "twins": _manifest("a.json", "A.json"),
    "file and folder": _manifest("a.json", "A.json/b.json"),
    "many": _manifest(*(f"{index}.json" for index in range(10**4))),
    "none": _manifest(),
    "negative": _manifest(files={"a.json": {"sha256": "0" * 64, "bytes": -1}}),
    "half a byte": _manifest(files={"a.json": {"sha256": "0" * 64, "bytes": 0.5}}),
    "text": _manifest(files={"a.json": {"sha256": "0" * 64, "bytes": "1"}}),
    "too much": _manifest(files={"a.json": {"sha256": "0" * 64, "bytes": 10**30}}),
    "list": _manifest(files=["a.json"]),
    "no digest": _manifest(files={"a.json": {"sha256": "x", "bytes": 1}}),
    "another trial": _manifest("a.json", trial="t000"),
    "another epoch": _manifest("a.json", epoch=2),
    "infinite epoch": _manifest("a.json").replace(b'"epoch": 1', b'"epoch": 1e999'),
    "long number": _manifest("a.json").replace(b'"epoch": 1', b'"epoch": ' + b"1" * 10**5),
    "same name twice": _manifest("a.json").replace(b'"files": {', b'"files": {"a.json": {}, '),
    "deep": b"[" * 10**6,
    "deep objects": b'{"files":' * 10**5,
    "no JSON": b"\x80\x04K\x01.",
    "UTF-16": _manifest("a.json").decode().encode("utf-16")[:-1],
    "empty": b"",
    "huge": b" " * (MAX_MANIFEST_BYTES + 1),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_malicious_manifest_is_refused_even_if_it_is_registered(
    store: Store, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    data = MANIFESTS[name]
    shutil.rmtree(checkpoint / "model")
    (checkpoint / "manifest.json").write_bytes(data)
    for listed in ("a.json", "A.json"):
        (checkpoint / "model").mkdir(exist_ok=True)
        (checkpoint / "model" / listed).write_text("x")
        with registered(store, hashlib.sha256(data).hexdigest()), pytest.raises(VerificationError) as caught:
            pull("sweep", tmp_path / "out" / "model", store.root, POINT, store.uri)
        assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()
        assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("digest", ["", "../../../x", "0" * 63, "0" * 64, "Z" * 64])
def test_a_registry_without_the_right_digest_is_refused(store: Store, tmp_path: Path, digest: str) -> None:
    with registered(store, digest), pytest.raises(VerificationError):
        pull("sweep", tmp_path / "out" / "model", store.root, POINT, store.uri)
    assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == []


FRONTS: dict[str, Callable[[bytes], bytes]] = {
    "another knee": lambda honest: honest.replace(b'"knee"', b'"eenk"'),
    "another trial": lambda honest: honest.replace(b"t002", b"t000"),
    "deep": lambda honest: b"[" * 10**6,
    "empty": lambda honest: b"",
    "pickle": lambda honest: pickle.dumps({}),
}


@pytest.mark.parametrize("name", FRONTS)
def test_a_front_that_was_changed_chooses_nothing(store: Store, tmp_path: Path, name: str) -> None:
    [parent] = recorded_runs(store.uri, where="tags.`letheon.kind` = 'sweep'")
    folder = local_folder(str(parent.info.artifact_uri))
    assert folder is not None
    honest = (folder / "front.json").read_bytes()
    (folder / "front.json").write_bytes(FRONTS[name](honest))
    try:
        with pytest.raises(VerificationError, match=r"its front\.json is not the one that was recorded"):
            pull("sweep", tmp_path / "model", store.root, POINT, store.uri)
    finally:
        (folder / "front.json").write_bytes(honest)
