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

from trainables.batching.packing import Layout, Packed, pack
from trainables.batching.rows import IGNORED, Batch, Encoded, collate, hide, hides
from trainables.batching.scores import Scores
from trainables.model.cpu.patch import trims_last_layer
from trainables.model.hidden_states import states_of
from trainables.model.log_probs import exact, log_probs_of


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


def batched(
    rows: Sequence[Encoded], pad_id: int, device: torch.device | str, layout: Layout, hidden: int | None = None
) -> Batch | Packed:
    """The rows as the model takes them (`Engine.layout`); padded where attention must not see the token `hidden`."""
    if hidden is not None and hides(rows, hidden):
        return hide(collate(rows, hidden), hidden).to(device)
    if layout == "padded":
        return collate(rows, pad_id).to(device)
    return pack(rows, device, filled=layout == "filled")


def score(model: Callable[..., Any], batch: Batch | Packed, keep: Keep = LOG_PROBS) -> Scores:
    """One forward pass; the LM head runs on answer tokens only, or, where rows are padded, from the first one on.

    Softmax in float32 at least. Packed rows need a model that `trainables.model.packed_attention` made ready;
    their scores have the first answer token of every row in the first position, so `first` and `last` do not apply.
    """
    return _packed(model, batch, keep) if isinstance(batch, Packed) else _padded(model, batch, keep)


def _packed(model: Callable[..., Any], batch: Packed, keep: Keep) -> Scores:
    extra: dict[str, Any] = {"logits_to_keep": batch.kept}
    if keep.layer is None and trims_last_layer(model):
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
