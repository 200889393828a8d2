"""Names of a sweep's files and folders."""

from __future__ import annotations

from pathlib import Path

from trainables.storage.trial_folder import epoch_name

JOURNAL = "journal.jsonl"
SPEC = "spec.yaml"
MODEL = "model"


def checkpoint_folder(trials: Path, trial: str, epoch: int) -> Path:
    """`trials/t007/epoch-003`, with `model/` and its manifest."""
    return trials / trial / epoch_name(epoch)


def model_folder(trials: Path, trial: str, epoch: int) -> Path:
    """`trials/t007/epoch-003/model`, the Hugging Face folder."""
    return checkpoint_folder(trials, trial, epoch) / MODEL


def last_change(folder: Path) -> float:
    """When a sweep's journal or sweep file was last written, in unix seconds; 0 without either."""
    files = (folder / name for name in (JOURNAL, SPEC))
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
