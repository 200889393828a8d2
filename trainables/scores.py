"""What a model says of a batch of rows: log-probabilities of the answer tokens.

The one teacher-forced forward that losses and metrics share. Knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One tokenised row. `input_ids` is prompt + answer + end of sequence; the answer starts at `answer_start`."""

    input_ids: tuple[int, ...]
    answer_start: int


@dataclass(frozen=True)
class Batch:
    """Right-padded rows, both tensors (rows, tokens) int64. `labels` is -100 outside answer and end of sequence."""

    input_ids: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.input_ids.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Scores:
    """Per-token results aligned with the answer positions that were kept.

    `token_log_probs`: (rows, positions) float32, 0 where `mask` is False. `mask`: (rows, positions) bool.
    `logits`: (rows, positions, vocabulary) float32 or None. `targets`: (rows, positions) int64, the answer tokens (any
    id where `mask` is False). `hidden`: (rows, positions, width) hidden states of one layer, or None.
    """

    token_log_probs: Tensor
    mask: Tensor
    logits: Tensor | None = None
    targets: Tensor | None = None
    hidden: Tensor | None = None

    @property
    def sequence(self) -> Tensor:
        """(rows,) log p(y|x): the sum over answer tokens, end of sequence included."""
        return self.token_log_probs.sum(-1)

    @property
    def lengths(self) -> Tensor:
        """(rows,) number of answer tokens, end of sequence included."""
        return self.mask.sum(-1)

    def rows(self, start: int, stop: int) -> Scores:
        """The same for rows start..stop."""

        def part(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[start:stop]

        every = (part(self.logits), part(self.targets), part(self.hidden))
        return Scores(self.token_log_probs[start:stop], self.mask[start:stop], *every)


def collate(rows: Sequence[Encoded], pad_id: int) -> Batch:
    """Pad on the right to the longest row."""
    width = max(len(row.input_ids) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        n = len(row.input_ids)
        ids[i, :n] = torch.tensor(row.input_ids)
        labels[i, row.answer_start : n] = ids[i, row.answer_start : n]
    return Batch(ids, labels)


def score(model: Callable[..., Any], batch: Batch, keep_logits: bool = False) -> Scores:
    """One forward pass; the LM head runs only from the first answer position of the batch on. Softmax in float32.

    No attention mask: rows are padded on the right, where a causal model's earlier positions cannot see it, and
    without one the attention kernels that need none are used.
    """
    targets = batch.labels[:, 1:]
    mask = targets != IGNORED
    first = int(mask.any(0).to(torch.uint8).argmax())
    positions = torch.arange(first, targets.shape[1], device=targets.device)
    logits = model(input_ids=batch.input_ids[:, :-1], logits_to_keep=positions, use_cache=False).logits.float()
    targets, mask = targets[:, first:], mask[:, first:]
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.clamp(min=0).flatten(), reduction="none")
    log_probs = -losses.view_as(targets) * mask
    return Scores(log_probs, mask, logits if keep_logits else None)
