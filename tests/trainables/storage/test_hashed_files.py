"""Digests that are computed while writing are those of the file, and shared files need no space."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from trainables.storage.hashed_files import hashing_file, link_files
from trainables.storage.manifest import list_files


def test_digest_and_size_are_those_of_the_file(tmp_path: Path) -> None:
    draw, entries = random.Random(0), dict[str, dict[str, Any]]()
    blocks = [draw.randbytes(draw.choice((0, 1, 1000, 3 << 20))) for _ in range(20)]
    with hashing_file(tmp_path / "some", entries, "some") as file:
        assert [file.write(block) for block in blocks] == [len(block) for block in blocks]
    with hashing_file(tmp_path / "saved", entries, "saved") as file:
        torch.save({"a": torch.arange(1 << 20), "b": 1}, file)
    assert (tmp_path / "some").read_bytes() == b"".join(blocks)
    assert entries == list_files(tmp_path)
    assert torch.equal(torch.load(tmp_path / "saved")["a"], torch.arange(1 << 20))


def test_a_linked_file_is_the_same_and_outlives_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_bytes(b"abc")
    link_files(tmp_path / "model", tmp_path / "state", ["a"])
    assert (tmp_path / "state" / "a").stat().st_ino == (tmp_path / "model" / "a").stat().st_ino
    (tmp_path / "model" / "a").unlink()
    assert (tmp_path / "state" / "a").read_bytes() == b"abc"
