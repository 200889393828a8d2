"""What a model says of a batch of rows: log-probabilities of the answer tokens.

The one teacher-forced forward that losses and metrics share. Knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    """Right-padded rows, tensors (rows, tokens) int64. `labels` is -100 outside answer and end of sequence.

    `attention_mask`: None, since padding on the right changes nothing that is looked at; code bases that look at
    padding too have one.
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
        """The first position (of a next token) that is part of any answer."""
        return int((self.labels[:, 1:] != IGNORED).any(0).to(torch.uint8).argmax())


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
        return self._each(lambda tensor: tensor[start:stop])

    def everywhere(self, positions: int) -> Scores:
        """The first positions, all of them counted: what a mean over prompt and padding too is taken of."""
        cut = self._each(lambda tensor: tensor[:, :positions])
        return replace(cut, mask=torch.ones_like(cut.mask))

    def _each(self, part: Callable[[Tensor], Tensor]) -> Scores:
        optional = (None if each is None else part(each) for each in (self.logits, self.targets, self.hidden))
        return Scores(part(self.token_log_probs), part(self.mask), *optional)


@dataclass(frozen=True)
class Keep:
    """What of a forward pass is kept beside log-probs. `layer`: whose hidden states (0: the embeddings).

    `first`: the first position that is kept; None: the first that is part of an answer. `last`: keep the position
    behind the last token too, which predicts nothing.
    """

    logits: bool = False
    layer: int | None = None
    first: int | None = None
    last: bool = False


LOG_PROBS = Keep()
LOGITS = Keep(logits=True)


def collate(rows: Sequence[Encoded], pad_id: int, width: int = 0) -> Batch:
    """Pad on the right to the longest row, or to `width` tokens if that is more."""
    width = max(width, *(len(row.input_ids) for row in rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        n = len(row.input_ids)
        ids[i, :n] = torch.tensor(row.input_ids)
        labels[i, row.answer_start : n] = ids[i, row.answer_start : n]
    return Batch(ids, labels)


def score(model: Callable[..., Any], batch: Batch, keep: Keep = LOG_PROBS) -> Scores:
    """One forward pass; the LM head runs only from the first answer position of the batch on. Softmax in float32.

    No attention mask unless the batch brings one: rows are padded on the right, where a causal
    model's earlier positions cannot see it, and without one the attention kernels that need none are used.
    """
    ids, targets, attention = batch.input_ids, batch.labels[:, 1:], batch.attention_mask
    if keep.last:
        targets = functional.pad(targets, (0, 1), value=IGNORED)
    else:
        ids, attention = ids[:, :-1], None if attention is None else attention[:, :-1]
    first = batch.first if keep.first is None else keep.first
    positions = torch.arange(first, targets.shape[1], device=targets.device)
    extra: dict[str, Any] = {} if attention is None else {"attention_mask": attention}
    if keep.layer is not None:
        extra["output_hidden_states"] = True
    output = model(input_ids=ids, logits_to_keep=positions, use_cache=False, **extra)
    logits = output.logits.float()
    targets = targets[:, first:]
    mask = targets != IGNORED
    targets = targets.clamp(min=0)
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    log_probs = (-losses.view_as(targets)).masked_fill(~mask, 0.0)  # not `* mask`: -inf * 0 is NaN
    hidden = None if keep.layer is None else output.hidden_states[keep.layer][:, first:].float()
    return Scores(log_probs, mask, logits if keep.logits else None, targets, hidden)
