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
