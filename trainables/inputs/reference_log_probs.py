"""Log-probs of answers under the frozen target model: computed once, shared by all trials through a file.

Does not decide who computes: with sharded weights every worker must enter `compute_reference`, so one worker must
decide for all whether the file exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainables.batching.packing import Layout
from trainables.batching.rows import Encoded
from trainables.batching.scores import Scores
from trainables.config import Frozen
from trainables.model.packed_attention import takes_packed
from trainables.model.scoring import make_batch, score
from trainables.runtime.transfer import on_device

CODE_VERSION = 2
"""Raise it whenever `compute_reference` or `trainables.model.scoring.score` gives different values."""


@dataclass(frozen=True)
class ReferenceTable:
    """`log_probs`: (tokens,) on the CPU, of the answer tokens of all rows in order, end of sequence included.

    `lengths`: (rows,) int64, answer tokens of each row.
    """

    log_probs: Tensor
    lengths: Tensor

    @property
    def sequence(self) -> Tensor:
        """(rows,) log p_ref(y|x)."""
        rows = torch.repeat_interleave(torch.arange(len(self.lengths)), self.lengths)
        return self.log_probs.new_zeros(len(self.lengths)).index_add_(0, rows, self.log_probs)

    def scores(self, rows: Sequence[int], mask: Tensor) -> Scores:
        """Scores of these rows, aligned with the model's own: `mask` (rows, positions) marks their answers.

        Raises ValueError if the mask has another number of answer tokens than the table. On a GPU a device assertion
        fails instead, because the check would have to wait for the device.
        """
        stops = self._stops
        parts = [self.log_probs[stops[i] : stops[i + 1]] for i in rows]
        values = torch.cat([*parts, self.log_probs[:0]])
        if mask.device.type == "cpu" and len(values) != int(mask.sum()):
            raise ValueError(
                f"{len(values)} reference log-probs must be {int(mask.sum())}, one for each answer token of the rows; "
                "pass the rows that the table was made for"
            )
        if mask.device.type != "cpu":
            torch._assert_async(mask.sum() == len(values), "reference log-probs of other rows")
        placed = torch.zeros(mask.shape, device=mask.device, dtype=values.dtype)
        if len(values):
            placed.masked_scatter_(mask, on_device(values, mask.device))
        return Scores(placed, mask)

    @cached_property
    def _stops(self) -> list[int]:
        """Start of each row, and the end of the last one."""
        return [0, *self.lengths.cumsum(0).tolist()]


class ReferenceKey(Frozen):
    """Everything the table depends on. Its digest names the file, its JSON is in the file's metadata."""

    model: str = Field(description="digest of the target model's weights and configuration")
    rows: str = Field(description="`rows_digest` of the forget rows, in the order of the table")
    template: str
    tokenizer: str = Field(description="digest of the tokenizer")
    dtype: str = Field(description="precision of the forward pass, e.g. fp32")
    hidden: int | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="a token that is hidden from attention, as under `compat: open_unlearning`",
    )
    code_version: int = CODE_VERSION


def rows_digest(rows: Sequence[Encoded]) -> str:
    """SHA-256 (hex) of the token ids, answer starts and dropped positions of the rows, in order."""
    hasher = hashlib.sha256()
    for row in rows:
        dropped = [list(row.dropped)] if row.dropped else []
        hasher.update(json.dumps([row.answer_start, *row.input_ids, *dropped]).encode() + b"\n")
    return hasher.hexdigest()


def load_or_compute(cache: Path, key: ReferenceKey, compute: Callable[[], ReferenceTable]) -> ReferenceTable:
    """The table of `key` from the folder `cache`, computed and written there if missing.

    A file that is truncated, altered or of another key is replaced. Concurrent writers are harmless: each moves its own
    complete file into place. Raises ValueError if `compute` gives non-finite values.
    """
    path = cache / f"{key.digest()}.safetensors"
    table = _read(path, key)
    if table is None:
        table = _checked(compute())
        _write(path, key, table)
    return table


def compute_reference(
    model: nn.Module,
    encoded_rows: Sequence[Encoded],
    pad_id: int,
    batch_tokens: int,
    device: torch.device | str,
    hidden: int | None = None,
) -> ReferenceTable:
    """Log-probs of the rows' answers, in the given order, with dropout off and no gradient.

    `batch_tokens` bounds the padded tokens of one forward pass; a single longer row runs alone. `hidden`: a token that
    is hidden from attention.
    """
    answers: list[Tensor] = [torch.empty(0)] * len(encoded_rows)
    layout: Layout = "packed" if takes_packed(model) else "padded"
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for indices in token_batches([len(row.input_ids) for row in encoded_rows], batch_tokens):
                batch = make_batch([encoded_rows[i] for i in indices], pad_id, device, layout, hidden)
                scores = score(model, batch)
                for i, values, mask in zip(indices, scores.token_log_probs.cpu(), scores.mask.cpu(), strict=True):
                    answers[i] = values[mask]
    finally:
        model.train(was_training)
    lengths = torch.tensor([len(answer) for answer in answers], dtype=torch.int64)
    return ReferenceTable(torch.cat(answers) if answers else torch.empty(0), lengths)


def token_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Row indices in batches of rows * longest <= batch_tokens; longest first, so memory runs out at once if at all."""
    batches: list[list[int]] = []
    width = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or (len(batches[-1]) + 1) * width > batch_tokens:
            batches.append([])
            width = lengths[i]
        batches[-1].append(i)
    return batches


def _checked(table: ReferenceTable) -> ReferenceTable:
    bad = int((~table.log_probs.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{bad} of {len(table.log_probs)} reference log-probs are not finite; prepare the target model again"
        )
    return table


def _read(path: Path, key: ReferenceKey) -> ReferenceTable | None:
    """The table, or None if the file is missing or cannot be trusted."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            table = ReferenceTable(file.get_tensor("log_probs"), file.get_tensor("lengths"))
    except (OSError, SafetensorError):
        return None
    return table if table.log_probs.dtype == torch.float32 and metadata == _metadata(key, table) else None


def _write(path: Path, key: ReferenceKey, table: ReferenceTable) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder may be shared between hosts, where process ids collide.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        tensors = {"log_probs": table.log_probs.contiguous(), "lengths": table.lengths}
        save_file(tensors, temporary, metadata=_metadata(key, table))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _metadata(key: ReferenceKey, table: ReferenceTable) -> dict[str, str]:
    # safetensors checks sizes but not content, hence the digest.
    content = table.lengths.numpy().tobytes() + table.log_probs.contiguous().numpy().tobytes()
    return {"key": key.model_dump_json(), "sha256": hashlib.sha256(content).hexdigest()}
