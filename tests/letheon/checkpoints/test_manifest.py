"""Manifests are written, read back and verified; whatever could be code or leave its folder is refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letheon.checkpoints.manifest import VerificationError, check_name, parse_manifest, read_manifest, verify
from tests.letheon.tracking.tracking_support import save_checkpoint
from trainables.storage.manifest import write_manifest


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
