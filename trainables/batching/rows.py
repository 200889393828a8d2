"""Rows of token ids, and padded batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One tokenised row: `input_ids` is prompt + answer + end of sequence; the answer starts at `answer_start`.

    `dropped`: positions of answer tokens that are read but count in no loss (`goldfish`), ascending.
    """

    input_ids: tuple[int, ...]
    answer_start: int
    dropped: tuple[int, ...] = ()

    @property
    def counted(self) -> Sequence[int]:
        """Positions of the answer tokens that count, end of sequence included. A row's first token never does: nothing
        predicts it."""
        answer = range(max(self.answer_start, 1), len(self.input_ids))
        return [i for i in answer if i not in self.dropped] if self.dropped else answer

    @property
    def targets(self) -> Sequence[int]:
        """The answer tokens that count."""
        return (
            [self.input_ids[i] for i in self.counted] if self.dropped else self.input_ids[max(self.answer_start, 1) :]
        )

    @property
    def answer_tokens(self) -> int:
        """How many answer tokens count."""
        return max(len(self.input_ids) - max(self.answer_start, 1), 0) - len(self.dropped)


@dataclass(frozen=True)
class Batch:
    """Right-padded rows, tensors (rows, tokens) int64. `labels` is -100 outside answer and end of sequence.

    `attention_mask` is usually None: causal rows cannot see padding on their right. It is set for published code that
    has losses on padding or hides tokens inside rows.
    """

    input_ids: Tensor
    labels: Tensor
    attention_mask: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        mask = None if self.attention_mask is None else self.attention_mask.to(device)
        return Batch(self.input_ids.to(device), self.labels.to(device), mask)

    def rows(self, start: int, stop: int) -> Batch:
        """Rows start..stop, at the same width."""
        mask = None if self.attention_mask is None else self.attention_mask[start:stop]
        return Batch(self.input_ids[start:stop], self.labels[start:stop], mask)

    @property
    def first(self) -> int:
        """The first position that predicts an answer token in any row."""
        return int((self.labels[:, 1:] != IGNORED).any(0).to(torch.uint8).argmax())


def collate(rows: Sequence[Encoded], pad_id: int, width: int = 0) -> Batch:
    """Pad on the right to the longest row, or to `width` tokens if that is more."""
    width = max(width, *(len(row.input_ids) for row in rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        n = len(row.input_ids)
        ids[i, :n] = torch.tensor(row.input_ids)
        labels[i, row.answer_start : n] = ids[i, row.answer_start : n]
        labels[i, list(row.dropped)] = IGNORED
    return Batch(ids, labels)


def mask_token(batch: Batch, token: int) -> Batch:
    """The same rows with `token` hidden from attention wherever it occurs."""
    return replace(batch, attention_mask=(batch.input_ids != token).long())


def hiding_matters(rows: Iterable[Encoded], token: int | None) -> bool:
    """Whether hiding `token` changes any prediction. A row's last token predicts nothing."""
    return token is not None and any(token in row.input_ids[:-1] for row in rows)
