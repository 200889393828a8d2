"""log p_ref(y|x) of every forget row under the target model: computed once, shared by all trials through a file.

Knows a model only as something to call. Does not decide who computes: with sharded weights every worker must enter
`compute_reference`, and then one must decide for all whether the file is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainables.config import Frozen
from trainables.scores import Encoded, collate, score

CODE_VERSION = 1
"""Raise it whenever `compute_reference` or `trainables.scores.score` gives other values than before."""

TENSOR = "log_probs"


class ReferenceKey(Frozen):
    """Everything the table depends on. Its digest names the file, its JSON is in the file's metadata."""

    model: str = Field(description="digest of the target model's weights and configuration")
    rows: str = Field(description="`rows_digest` of the forget rows, in the order of the table")
    template: str
    tokenizer: str = Field(description="digest of the tokenizer")
    dtype: str = Field(description="precision of the forward pass, e.g. fp32")
    code_version: int = CODE_VERSION


def rows_digest(rows: Sequence[Encoded]) -> str:
    """SHA-256 (hex) of the token ids and answer starts of the rows, in order."""
    hasher = hashlib.sha256()
    for row in rows:
        hasher.update(json.dumps([row.answer_start, *row.input_ids]).encode() + b"\n")
    return hasher.hexdigest()


def load_or_compute(cache: Path, key: ReferenceKey, compute: Callable[[], Tensor]) -> Tensor:
    """(rows,) float32 on the CPU: the table of `key` in the folder `cache`, computed and written there if need be.

    A file that is truncated, altered or of another key is computed anew. Writers at the same time are harmless: each
    moves its own complete file into place. Raises ValueError when `compute` gives another shape or non-finite values.
    """
    path = cache / f"{key.digest()}.safetensors"
    table = _read(path, key)
    if table is None:
        table = _checked(compute())
        _write(path, key, table)
    return table


def compute_reference(
    model: nn.Module, encoded_rows: Sequence[Encoded], pad_id: int, batch_tokens: int, device: torch.device | str
) -> Tensor:
    """(rows,) float32 on the CPU: log p(y|x) of each row, in the given order, with dropout off and no gradient.

    `batch_tokens` bounds the padded tokens of one forward pass; a single longer row goes alone.
    """
    table = torch.empty(len(encoded_rows), dtype=torch.float32)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for indices in token_batches([len(row.input_ids) for row in encoded_rows], batch_tokens):
                batch = collate([encoded_rows[i] for i in indices], pad_id).to(device)
                table[indices] = score(model, batch).sequence.float().cpu()
    finally:
        model.train(was_training)
    return table


def token_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Row indices in batches of rows * longest <= batch_tokens; longest first, so memory runs out at once or never."""
    batches: list[list[int]] = []
    width = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or (len(batches[-1]) + 1) * width > batch_tokens:
            batches.append([])
            width = lengths[i]
        batches[-1].append(i)
    return batches


def _checked(table: Tensor) -> Tensor:
    table = table.detach().to("cpu", torch.float32).contiguous()
    if table.ndim != 1:
        raise ValueError(f"reference of shape {tuple(table.shape)} must be (rows,); give one log-prob per forget row")
    bad = int((~table.isfinite()).sum())
    if bad:
        raise ValueError(f"{bad} of {len(table)} reference log-probs are not finite; prepare the target model again")
    return table


def _read(path: Path, key: ReferenceKey) -> Tensor | None:
    """The table, or None if there is none that can be trusted."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            table: Tensor = file.get_tensor(TENSOR)
    except (OSError, SafetensorError):
        return None
    return table if table.dtype == torch.float32 and metadata == _metadata(key, table) else None


def _write(path: Path, key: ReferenceKey, table: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder may be shared between hosts, where process ids collide.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        save_file({TENSOR: table}, temporary, metadata=_metadata(key, table))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _metadata(key: ReferenceKey, table: Tensor) -> dict[str, str]:
    # safetensors checks sizes but not content, so the content has a digest of its own.
    content = f"{table.dtype}{tuple(table.shape)}".encode() + table.numpy().tobytes()
    return {"key": key.model_dump_json(), "sha256": hashlib.sha256(content).hexdigest()}
