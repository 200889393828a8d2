"""DeepSpeed's checkpoint files, each number stored once and digests computed while writing.

DeepSpeed saves the module's weights beside the optimizer, though the trial's `model/` folder may have them too. Those
are left out and filled in again when the state is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.storage.hashed_files import WEIGHTS, hashing_file, link_files

_LEFT_OUT = "letheon_left_out"
Translate = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class StateFiles:
    """Replaces `save` and `load` of a DeepSpeed engine's `checkpoint_engine`."""

    def __init__(self, engine: Any, translated: Translate | None = None) -> None:
        """`translated`: makes the optimizer's part of a loaded file one that the engine's optimizer can read."""
        checkpoints = engine.checkpoint_engine
        self._load, self._translated = checkpoints.load, translated
        checkpoints.save, checkpoints.load = self.save, self.load
        self._shared: Path | None = None
        self._folder, self._entries, self._uses_shared = Path(), dict[str, dict[str, Any]](), False

    def begin(self, folder: Path, shared: Path | None) -> None:
        """Files that are saved from now on are those of the state `folder`. `shared`: a folder of safetensors with the
        current weights.
        """
        self._folder, self._shared, self._entries, self._uses_shared = folder, shared, {}, False

    def finish(self) -> dict[str, dict[str, Any]]:
        """Link the shared files that are needed. Returns digest and size of this rank's other files, by name."""
        if self._shared is not None and self._uses_shared:
            names = [file.name for file in sorted(self._shared.glob("*.safetensors"))]
            link_files(self._shared, self._folder / WEIGHTS, names)
        return self._entries

    def save(self, state_dict: dict[str, Any], path: str) -> None:
        """Write a file without the weights that can be found elsewhere."""
        module = state_dict.get("module")
        left_out = dict(self._elsewhere(module)) if isinstance(module, Mapping) else {}
        if isinstance(module, Mapping) and left_out:
            kept = {name: tensor for name, tensor in module.items() if name not in left_out}
            self._uses_shared = True
            state_dict = {**state_dict, "module": kept, _LEFT_OUT: (list(module), left_out)}
        with hashing_file(Path(path), self._entries, Path(path).relative_to(self._folder).as_posix()) as file:
            crc = torch.serialization.get_crc32_options()
            torch.serialization.set_crc32_options(False)  # a second checksum, slower than SHA-256
            try:
                torch.save(state_dict, file)
            finally:
                torch.serialization.set_crc32_options(crc)

    def load(self, path: str, map_location: Any = None) -> Any:
        """What `save` was given. Raises FileNotFoundError if the shared files are missing."""
        content = self._load(path, map_location=map_location)
        if isinstance(content, dict) and _LEFT_OUT in content:
            order, left_out = content.pop(_LEFT_OUT)
            found = {**content["module"], **self._filled(left_out, Path(path).parent.parent / WEIGHTS)}
            content["module"] = {name: found[name] for name in order}
        if self._translated is not None and isinstance(content, dict) and content.get("optimizer") is not None:
            content["optimizer"] = self._translated(content["optimizer"])
        return content

    def _elsewhere(self, module: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Names of weights that need not be saved, each with its name in the shared files. Tied weights have two names
        for one storage.
        """
        places: dict[int, str] = {}
        for name in _names_in(self._shared):
            if name in module:
                places[module[name].data_ptr()] = name
        for name, tensor in module.items():
            if tensor.numel() and tensor.data_ptr() in places:
                yield name, places[tensor.data_ptr()]

    def _filled(self, left_out: Mapping[str, str], shared: Path) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        files: dict[str, Tensor] = {}
        for file in sorted(shared.glob("*.safetensors")):
            files |= load_file(file)
        if lost := [place for place in left_out.values() if place not in files]:
            raise FileNotFoundError(f"{shared}: has no weight {lost[0]!r} of the state beside it; use an earlier one")
        return {name: files[place] for name, place in left_out.items()}


def _names_in(folder: Path | None) -> Iterator[str]:
    """Names of all tensors in the folder's safetensors."""
    from safetensors import safe_open

    for file in [] if folder is None else sorted(folder.glob("*.safetensors")):
        opened: Any = safe_open
        with opened(file, framework="pt") as tensors:
            yield from tensors.keys()
