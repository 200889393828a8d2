"""Gradient norms for the membership attack by gradient, one backward pass per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from trainables.batching.scores import to_float32
from trainables.evaluation.scoring.batches import rank_batches
from trainables.evaluation.scoring.evaluator import EvaluatedModel
from trainables.evaluation.scoring.queries import Pair
from trainables.model.scoring import make_batch, score
from trainables.runtime.progress import Stage


def gradient_norms(evaluated: EvaluatedModel, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """For every pair, the mean over parameter tensors of the L2 norm of the gradient of the mean loss over answer
    tokens, end of sequence excluded (arXiv 2402.17012, as in open-unlearning).

    Leaves existing gradients of the parameters unchanged. NaN for an answer that is only an end of sequence. Raises
    ValueError for sharded parameters (ZeRO stage 3), which no process has whole.
    """
    unique = list(dict.fromkeys(pairs))
    model = evaluated.model
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model {type(model).__name__} must be a torch.nn.Module to have gradients; pass the module")
    parameters = list(model.parameters())
    if any(hasattr(parameter, "ds_id") for parameter in parameters):
        raise ValueError("gradient_norm=true: parameters are sharded by ZeRO stage 3; use stage 2 or turn it off")
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    group = evaluated.group
    try:
        batches = rank_batches([1] * len(unique), evaluated.settings.batch_tokens, group.rank, group.size)
        norms = evaluated.runner.run_sharded(
            Stage("gradient norms", sum(map(len, batches))),
            batches,
            lambda numbers: [_gradient_norm(evaluated, parameters, unique[i]) for i in numbers],
        )
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return {pair: norms[i] for i, pair in enumerate(unique)}


def _gradient_norm(evaluated: EvaluatedModel, parameters: Sequence[torch.nn.Parameter], pair: Pair) -> float:
    rows, device = [evaluated.encoded(pair)], evaluated.group.device
    batch = make_batch(rows, evaluated.end, device, "padded", evaluated.hidden)
    with torch.enable_grad():
        scores = score(evaluated.model, batch)
        log_probs = scores.token_log_probs[0][scores.mask[0]]
        closed = evaluated.settings.compat != "none" or not pair.raw
        loss = -log_probs[: len(log_probs) - closed].mean()
        gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, parameters, allow_unused=True)
    return float(torch.stack([to_float32(gradient).norm() for gradient in gradients if gradient is not None]).mean())
