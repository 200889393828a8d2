"""The gradient-norm attack's passes, one backward pass a row. Knows questions and answers; not what norms are for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from trainables.batching.scores import to_float32
from trainables.evaluation.scoring.batches import deal
from trainables.evaluation.scoring.evaluator import EvaluatedModel
from trainables.evaluation.scoring.queries import Pair
from trainables.model.scoring import make_batch, score


def gradient_norms(examinee: EvaluatedModel, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Of every pair: the mean over parameter tensors of the L2 norm of the gradient of the mean loss over answer
    tokens, end of sequence left out (arXiv 2402.17012 as open-unlearning has it). One backward pass a pair.

    Gradients that parameters hold already are left alone. NaN where nothing but the end of sequence is an answer.
    Raises ValueError for sharded parameters (ZeRO stage 3), which no process has whole.
    """
    unique = list(dict.fromkeys(pairs))
    model = examinee.model
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model {type(model).__name__} must be a torch.nn.Module to have gradients; pass the module")
    parameters = list(model.parameters())
    if any(hasattr(parameter, "ds_id") for parameter in parameters):
        raise ValueError("gradient_norm=true: parameters are sharded by ZeRO stage 3; use stage 2 or turn it off")
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    group = examinee.group
    try:
        norms = examinee.reader.everywhere(
            deal([1] * len(unique), examinee.settings.batch_tokens, group.rank, group.size),
            lambda numbers: [_gradient_norm(examinee, parameters, unique[i]) for i in numbers],
        )
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return {pair: norms[i] for i, pair in enumerate(unique)}


def _gradient_norm(examinee: EvaluatedModel, parameters: Sequence[torch.nn.Parameter], pair: Pair) -> float:
    rows, device = [examinee.encoded(pair)], examinee.group.device
    batch = make_batch(rows, examinee.end, device, "padded", examinee.hidden)
    with torch.enable_grad():
        scores = score(examinee.model, batch)
        log_probs = scores.token_log_probs[0][scores.mask[0]]
        closed = examinee.settings.compat != "none" or not pair.raw
        loss = -log_probs[: len(log_probs) - closed].mean()
        gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, parameters, allow_unused=True)
    return float(torch.stack([to_float32(gradient).norm() for gradient in gradients if gradient is not None]).mean())
