"""The teacher-forced forward pass that losses and metrics share: log-probabilities of a batch's answer tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainables.batching.packing import Layout, Packed, pack
from trainables.batching.rows import IGNORED, Batch, Encoded, collate, hiding_matters, mask_token
from trainables.batching.scores import Scores, to_float32
from trainables.model.cpu.patch import trims_last_layer
from trainables.model.hidden_states import forward_with_states
from trainables.model.log_probs import log_probs_of


@dataclass(frozen=True)
class ForwardOutputs:
    """What to keep of a forward pass besides log-probs.

    `layer`: keep this layer's output, before any norm (0: the embeddings). `first`: the first position to keep; None:
    the first that predicts an answer token. `last`: also keep the position after the last token.
    """

    logits: bool = False
    layer: int | None = None
    first: int | None = None
    last: bool = False


LOG_PROBS = ForwardOutputs()
LOGITS = ForwardOutputs(logits=True)


def make_batch(
    rows: Sequence[Encoded], pad_id: int, device: torch.device | str, layout: Layout, hidden: int | None = None
) -> Batch | Packed:
    """The rows as the model takes them (`Engine.layout`); padded where attention must not see the token `hidden`."""
    if hidden is not None and hiding_matters(rows, hidden):
        return mask_token(collate(rows, hidden), hidden).to(device)
    if layout == "padded":
        return collate(rows, pad_id).to(device)
    return pack(rows, device, filled=layout == "filled")


def score(model: Callable[..., Any], batch: Batch | Packed, keep: ForwardOutputs = LOG_PROBS) -> Scores:
    """One forward pass. The LM head runs on answer tokens only; for padded rows, on all positions from the first one.

    Softmax in float32, or float64 if the model is. Packed rows need a model prepared by
    `trainables.model.packed_attention`; their scores start with each row's first answer token, so `first` and `last`
    do not apply.
    """
    return _packed(model, batch, keep) if isinstance(batch, Packed) else _padded(model, batch, keep)


def _packed(model: Callable[..., Any], batch: Packed, keep: ForwardOutputs) -> Scores:
    extra: dict[str, Any] = {"logits_to_keep": batch.kept}
    if keep.layer is None and trims_last_layer(model):
        extra = {"kept": batch.kept}  # the last layer returns these tokens only
    output, hidden = forward_with_states(
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

    def by_row(values: Tensor) -> Tensor:
        """(answer tokens, …) -> (rows, width, …), 0 after the end of a row."""
        rows, others = len(batch.answers), values.shape[1:]
        padded = values.new_zeros((rows * batch.width + 1, *others))
        return padded.index_copy(0, batch.slots, values)[:-1].view(rows, batch.width, *others)

    return Scores(
        by_row(log_probs_of(logits, batch.targets)),
        by_row(torch.ones_like(batch.slots, dtype=torch.bool)),
        by_row(to_float32(logits)) if keep.logits else None,
        by_row(batch.targets),
        None if hidden is None else by_row(to_float32(hidden[0, batch.kept])),
    )


def no_mask(ids: Tensor) -> Tensor:
    """An empty mask with four dimensions, which transformers uses as it is instead of making one from the positions."""
    return ids.new_empty((1, 1, 1, 1), dtype=torch.bool)


def _padded(model: Callable[..., Any], batch: Batch, keep: ForwardOutputs) -> Scores:
    """Passes no attention mask unless the batch has one: a causal model cannot see padding on the right, and the
    faster attention kernels need the mask to be absent.
    """
    ids, targets, attention = batch.input_ids, batch.labels[:, 1:], batch.attention_mask
    if keep.last:
        targets = functional.pad(targets, (0, 1), value=IGNORED)
    else:
        ids, attention = ids[:, :-1], None if attention is None else attention[:, :-1]
    first = batch.first if keep.first is None else keep.first
    positions = torch.arange(first, targets.shape[1], device=targets.device)
    extra: dict[str, Any] = {} if attention is None else {"attention_mask": attention}
    output, hidden = forward_with_states(
        model, keep.layer, input_ids=ids, logits_to_keep=positions, use_cache=False, **extra
    )
    logits = output.logits
    targets = targets[:, first:]
    mask = targets != IGNORED
    targets = targets.clamp(min=0)
    found = log_probs_of(logits.flatten(0, 1), targets.flatten()).view_as(targets)
    log_probs = found.masked_fill(~mask, 0.0)  # not `* mask`: -inf * 0 is NaN
    kept = None if hidden is None else to_float32(hidden[:, first:])
    return Scores(log_probs, mask, to_float32(logits) if keep.logits else None, targets, kept)
