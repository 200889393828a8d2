"""Writes the same model's folder again and again with new weights, hashing them while they are written.

`save_pretrained` offers no file object, so its result would have to be read again for digests. A folder that it wrote
is the pattern for the next ones: only the bytes of the tensors differ. The pattern is used if it gives the first
folder's own bytes, so whatever `save_pretrained` renames or converts is saved by it every time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.storage.hashed_files import hashing_file
from trainables.storage.manifest import list_files

_WEIGHTS = ".safetensors"


class ModelFiles:
    """One model's files, for folders with other weights of the same names, shapes and dtypes."""

    def __init__(self) -> None:
        self._others: dict[str, bytes] = {}
        self._headers: dict[str, bytes] | None = None

    def save(
        self, folder: Path, state: Mapping[str, Tensor], save_pretrained: Callable[[Path], None]
    ) -> dict[str, dict[str, Any]]:
        """Write the folder with the weights `state`. Returns digest and size of all its files, by name.

        `save_pretrained` writes it whole; it is called the first time, and if the pattern does not hold.
        """
        if self._headers is None or not all(_fits(header, state) for header in self._headers.values()):
            save_pretrained(folder)
            files = list_files(folder)
            self._learn(folder, state, files)
            return files
        folder.mkdir(parents=True, exist_ok=True)
        entries: dict[str, dict[str, Any]] = {}
        for name, content in self._others.items():
            with hashing_file(folder / name, entries, name) as file:
                file.write(content)
        for name, header in self._headers.items():
            with hashing_file(folder / name, entries, name) as file:
                for block in _blocks(header, state):
                    file.write(block)
        return dict(sorted(entries.items()))

    def _learn(self, folder: Path, state: Mapping[str, Tensor], files: Mapping[str, Mapping[str, Any]]) -> None:
        headers = {name: _header(folder / name) for name in files if name.endswith(_WEIGHTS)}
        for name, header in headers.items():
            digest = hashlib.sha256()
            for block in _blocks(header, state) if _fits(header, state) else ():
                digest.update(block)
            if digest.hexdigest() != files[name]["sha256"]:
                return
        self._headers = headers
        self._others = {name: (folder / name).read_bytes() for name in files if name not in headers}


def _header(file: Path) -> bytes:
    """The start of a safetensors file: the length of the JSON as 8 bytes, and the JSON."""
    with file.open("rb") as opened:
        length = opened.read(8)
        return length + opened.read(int.from_bytes(length, "little"))


def _tensors(header: bytes) -> dict[str, Any]:
    """The header's `{name: {"dtype", "shape", "data_offsets"}}` in the order of the data."""
    content: dict[str, Any] = json.loads(header[8:])
    content.pop("__metadata__", None)
    return dict(sorted(content.items(), key=lambda item: item[1]["data_offsets"]))


def _fits(header: bytes, state: Mapping[str, Tensor]) -> bool:
    """Whether `state` has all tensors with these shapes and sizes."""
    return all(
        name in state
        and list(state[name].shape) == facts["shape"]
        and state[name].numel() * state[name].element_size() == facts["data_offsets"][1] - facts["data_offsets"][0]
        for name, facts in _tensors(header).items()
    )


def _blocks(header: bytes, state: Mapping[str, Tensor]) -> Iterator[Any]:
    """The file's content: the header, then the bytes of each tensor."""
    yield header
    for name in _tensors(header):
        yield state[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
