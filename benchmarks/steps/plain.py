"""The step as it is usually written, from open-unlearning's published description.

Micro-batches of 8 forget and 8 retain rows, padded on the right; forward passes of their own for forget rows, reference
model and retain rows, logits of every position; AdamW. Only one thing is done as in Letheon, to compare losses: sums
are divided by the sizes of the whole batch.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from trainables.batching.rows import IGNORED, Batch, Encoded, collate
from trainables.batching.schedule import StepRows

from .case import BETA, CLIP, RETAIN_WEIGHT, WEIGHT_DECAY, Case, Step


def plain(case: Case) -> Step:
    """The usual trainer."""
    model, reference = (copy.deepcopy(case.model).to(case.device, case.dtype) for _ in range(2))
    for each in (model, reference):
        each.set_attn_implementation("sdpa")
    model.train()
    reference.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=case.learning_rate, weight_decay=WEIGHT_DECAY)

    def step(rows: StepRows) -> float:
        tokens = sum(case.retain[i].answer_tokens for i in rows.retain)
        total = 0.0
        for start in range(0, len(rows.forget), case.micro):
            forget = _batch(case, [case.forget[i] for i in rows.forget[start : start + case.micro]])
            retain = _batch(case, [case.retain[i] for i in rows.retain[start : start + case.micro]])
            now = _nll(model, forget)
            with torch.no_grad():
                before = _nll(reference, forget)
            forget_loss = -2 / BETA * logsigmoid(BETA * (now - before)).sum() / len(rows.forget)
            loss = forget_loss + RETAIN_WEIGHT * _nll(model, retain).sum() / tokens
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    return step


def _batch(case: Case, rows: list[Encoded]) -> Batch:
    batch = collate(rows, case.pad_id)
    lengths = torch.tensor([len(row.input_ids) for row in rows])
    mask = torch.arange(batch.input_ids.shape[1])[None] < lengths[:, None]
    return Batch(batch.input_ids, batch.labels, mask.long()).to(case.device)


def _nll(model: torch.nn.Module, batch: Batch) -> Tensor:
    """(rows,) summed over the answer."""
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    shifted = logits[..., :-1, :].contiguous().float()
    labels = batch.labels[..., 1:].contiguous()
    return cross_entropy(shifted.transpose(-1, -2), labels, ignore_index=IGNORED, reduction="none").sum(-1)
