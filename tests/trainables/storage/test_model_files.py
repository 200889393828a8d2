"""Folders written from the pattern of an earlier one are byte by byte those of `save_pretrained`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainables.training.engine_runs import model
from trainables.storage.manifest import list_files
from trainables.storage.model_files import ModelFiles

Entries = Mapping[str, Mapping[str, Any]]


class Saves:
    """Saves models to folders through one pattern, and counts how often the whole folder is written by transformers."""

    def __init__(self, place: Path, dtype: torch.dtype = torch.float32) -> None:
        self.files, self.place, self.model, self.whole = ModelFiles(), place, model().to(dtype), 0

    def state(self, number: int) -> dict[str, Tensor]:
        torch.manual_seed(number)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.normal_()
        return dict(self.model.state_dict())

    def save(self, number: int, names: Mapping[str, str] | None = None) -> Entries:
        """`names`: what `save_pretrained` calls a tensor in its file."""
        state = self.state(number)
        saved = {(names or {}).get(name, name): tensor for name, tensor in state.items()}

        def save_pretrained(folder: Path) -> None:
            self.whole += 1
            self.model.save_pretrained(folder, state_dict=dict(saved))

        entries = self.files.save(self.place / str(number), state, save_pretrained)
        self.model.save_pretrained(self.place / f"{number}-plain", state_dict=dict(saved))
        return entries


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_folders_are_those_of_save_pretrained(tmp_path: Path, dtype: torch.dtype) -> None:
    """Tied weights included."""
    saves = Saves(tmp_path, dtype)
    for number in range(3):
        entries = saves.save(number)
        assert entries == list_files(tmp_path / str(number)) == list_files(tmp_path / f"{number}-plain")
    assert saves.whole == 1


def test_what_save_pretrained_renames_is_saved_by_it_every_time(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    for number in range(2):
        entries = saves.save(number, {"model.norm.weight": "model.final.weight"})
        assert entries == list_files(tmp_path / f"{number}-plain")
    assert saves.whole == 2


def test_other_shapes_are_a_new_pattern(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    saves.save(0)
    saves.model.resize_token_embeddings(24)
    assert saves.save(1) == list_files(tmp_path / "1-plain")
    assert saves.save(2) == list_files(tmp_path / "2-plain")
    assert saves.whole == 2
