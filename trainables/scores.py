"""What a model says of a batch of rows: log-probabilities of the answer tokens.

The one teacher-forced forward that losses and metrics share. Knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainables.hidden import states_of
from trainables.lean.install import keeps_rows
from trainables.log_probs import exact, log_probs_of
from trainables.packing import Layout, Packed, pack

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One tokenised row. `input_ids` is prompt + answer + end of sequence; the answer starts at `answer_start`."""

    input_ids: tuple[int, ...]
    answer_start: int

    @property
    def answer_tokens(self) -> int:
        """End of sequence included. The first token of a row has no context, so it is never one."""
        return max(len(self.input_ids) - max(self.answer_start, 1), 0)


@dataclass(frozen=True)
class Batch:
    """Right-padded rows, tensors (rows, tokens) int64. `labels` is -100 outside answer and end of sequence.

    `attention_mask`: None, since padding on the right changes nothing that is looked at; published code that looks at
    padding too, or hides tokens inside rows, has one.
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

    All in float32, or in float64 where the model is. `token_log_probs`: (rows, positions), 0 where `mask` is False.
    `mask`: (rows, positions) bool.
    `logits`: (rows, positions, vocabulary) or None. `targets`: (rows, positions) int64, the answer tokens (any
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
        """The first positions, all of them counted: what a mean over prompt and padding too is taken of.

        Where there is no answer token the target is what the label -100 points at, counted from the vocabulary's end.
        """
        cut = self._each(lambda tensor: tensor[:, :positions])
        targets = cut.targets
        if targets is not None and cut.logits is not None:
            targets = targets.masked_fill(~cut.mask, max(cut.logits.shape[-1] + IGNORED, 0))
        return replace(cut, mask=torch.ones_like(cut.mask), targets=targets)

    def later(self) -> Scores:
        """The same positions, counted one later: where answer tokens are read instead of predicted, as some published
        code does. There must be a position behind the last token (`Keep.last`).
        """
        return replace(self, mask=self.mask.roll(1, dims=-1))

    def _each(self, part: Callable[[Tensor], Tensor]) -> Scores:
        optional = (None if each is None else part(each) for each in (self.logits, self.targets, self.hidden))
        return Scores(part(self.token_log_probs), part(self.mask), *optional)


@dataclass(frozen=True)
class Keep:
    """What of a forward pass is kept beside log-probs. `layer`: whose output, before any norm (0: the embeddings).

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


def hide(batch: Batch, token: int) -> Batch:
    """The same rows, in which attention sees `token` nowhere."""
    return replace(batch, attention_mask=(batch.input_ids != token).long())


def hides(rows: Iterable[Encoded], token: int | None) -> bool:
    """Whether hiding `token` changes what is predicted: nothing is predicted from the last token of a row."""
    return token is not None and any(token in row.input_ids[:-1] for row in rows)


def batched(
    rows: Sequence[Encoded], pad_id: int, device: torch.device | str, layout: Layout, hidden: int | None = None
) -> Batch | Packed:
    """The rows as the model takes them (`Engine.takes`); padded where attention must not see the token `hidden`."""
    if hidden is not None and hides(rows, hidden):
        return hide(collate(rows, hidden), hidden).to(device)
    if layout == "padded":
        return collate(rows, pad_id).to(device)
    return pack(rows, device, filled=layout == "filled")


def score(model: Callable[..., Any], batch: Batch | Packed, keep: Keep = LOG_PROBS) -> Scores:
    """One forward pass; the LM head runs on answer tokens only, or, where rows are padded, from the first one on.

    Softmax in float32 at least. Packed rows need a model that `trainables.attention` made ready; their scores have the
    first answer token of every row in the first position, so `first` and `last` do not apply.
    """
    return _packed(model, batch, keep) if isinstance(batch, Packed) else _padded(model, batch, keep)


def _packed(model: Callable[..., Any], batch: Packed, keep: Keep) -> Scores:
    extra: dict[str, Any] = {"logits_to_keep": batch.kept}
    if keep.layer is None and keeps_rows(model):
        extra = {"kept": batch.kept}  # the last layer hands on nothing else
    output, hidden = states_of(
        model,
        keep.layer,
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        attention_mask=no_mask(batch.input_ids),
        packing=batch.packing,
        use_cache=False,
        **extra,
    )
    logits = output.logits[0]

    def placed(values: Tensor) -> Tensor:
        """(answer tokens, …) -> (rows, width, …), 0 where a row has no more."""
        rows, others = len(batch.answers), values.shape[1:]
        room = values.new_zeros((rows * batch.width + 1, *others))
        return room.index_copy(0, batch.slots, values)[:-1].view(rows, batch.width, *others)

    return Scores(
        placed(log_probs_of(logits, batch.targets)),
        placed(torch.ones_like(batch.slots, dtype=torch.bool)),
        placed(exact(logits)) if keep.logits else None,
        placed(batch.targets),
        None if hidden is None else placed(exact(hidden[0, batch.kept])),
    )


def no_mask(ids: Tensor) -> Tensor:
    """What transformers takes for a finished mask (four dimensions), so that it makes none from the positions."""
    return ids.new_empty((1, 1, 1, 1), dtype=torch.bool)


def _padded(model: Callable[..., Any], batch: Batch, keep: Keep) -> Scores:
    """No attention mask unless the batch brings one: rows are padded on the right, where a causal model's earlier
    positions cannot see it, and without one the attention kernels that need none are used.
    """
    ids, targets, attention = batch.input_ids, batch.labels[:, 1:], batch.attention_mask
    if keep.last:
        targets = functional.pad(targets, (0, 1), value=IGNORED)
    else:
        ids, attention = ids[:, :-1], None if attention is None else attention[:, :-1]
    first = batch.first if keep.first is None else keep.first
    positions = torch.arange(first, targets.shape[1], device=targets.device)
    extra: dict[str, Any] = {} if attention is None else {"attention_mask": attention}
    output, hidden = states_of(model, keep.layer, input_ids=ids, logits_to_keep=positions, use_cache=False, **extra)
    logits = output.logits
    targets = targets[:, first:]
    mask = targets != IGNORED
    targets = targets.clamp(min=0)
    found = log_probs_of(logits.flatten(0, 1), targets.flatten()).view_as(targets)
    log_probs = found.masked_fill(~mask, 0.0)  # not `* mask`: -inf * 0 is NaN
    kept = None if hidden is None else exact(hidden[:, first:])
    return Scores(log_probs, mask, exact(logits) if keep.logits else None, targets, kept)
