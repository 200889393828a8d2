"""DeepSpeed's checkpoint files, each number stored once and digests computed while writing.

DeepSpeed saves the module's weights beside the optimizer, though the trial's `model/` folder has them too, and half
precision weights are float32 masters rounded. Both are left out and filled in again when the state is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.storage.hashed_files import WEIGHTS, hashing_file, link_files

_LEFT_OUT = "letheon_left_out"


class StateFiles:
    """Replaces `save` and `load` of a DeepSpeed engine's `checkpoint_engine`."""

    def __init__(self, engine: Any) -> None:
        self._optimizer, checkpoints = engine.optimizer, engine.checkpoint_engine
        self._load = checkpoints.load
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
            self._uses_shared = any(isinstance(place, str) for place in left_out.values())
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
            found = {**content["module"], **self._filled(content, left_out, Path(path).parent.parent / WEIGHTS)}
            content["module"] = {name: found[name] for name in order}
        return content

    def _elsewhere(self, module: Mapping[str, Tensor]) -> Iterator[tuple[str, Any]]:
        """Names of weights that need not be saved, each with group and number of its master and its dtype, or its name
        in the shared files. Tied weights have two names for one storage.
        """
        places: dict[int, Any] = {}
        for name in _names_in(self._shared):
            if name in module:
                places[module[name].data_ptr()] = name
        masters_of = getattr(self._optimizer, "fp32_groups", None)  # half precision without ZeRO
        groups: Iterable[tuple[Any, Any]] = (
            [] if masters_of is None else zip(self._optimizer.fp16_groups, masters_of, strict=True)
        )
        for group, (weights, masters) in enumerate(groups):
            for number, (weight, master) in enumerate(zip(weights, masters, strict=True)):
                if weight.shape == master.shape and torch.equal(weight, master.to(weight.dtype)):
                    places[weight.data_ptr()] = (group, number, str(weight.dtype).removeprefix("torch."))
        for name, tensor in module.items():
            if tensor.numel() and tensor.data_ptr() in places:
                yield name, places[tensor.data_ptr()]

    def _filled(self, content: Mapping[str, Any], left_out: Mapping[str, Any], shared: Path) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        files: dict[str, Tensor] = {}
        if any(isinstance(place, str) for place in left_out.values()):
            for file in sorted(shared.glob("*.safetensors")):
                files |= load_file(file)
        found = {}
        for name, place in left_out.items():
            if isinstance(place, str) and place not in files:
                raise FileNotFoundError(f"{shared}: has no weight {place!r} of the state beside it; use an earlier one")
            if isinstance(place, str):
                found[name] = files[place]
            else:
                group, number, dtype = place
                found[name] = content["optimizer"]["fp32_groups"][group][number].to(getattr(torch, dtype))
        return found


def _names_in(folder: Path | None) -> Iterator[str]:
    """Names of all tensors in the folder's safetensors."""
    from safetensors import safe_open

    for file in [] if folder is None else sorted(folder.glob("*.safetensors")):
        opened: Any = safe_open
        with opened(file, framework="pt") as tensors:
            yield from tensors.keys()
