"""Records how a model calls its decoder layers, and runs such a call again, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainables.batching.packing import Packed
from trainables.batching.rows import Batch
from trainables.model.compile import decoder_layers
from trainables.model.scoring import score
from trainables.runtime.fast_paths import Outcome

_SEED = 20_231  # of the gradients that enter a layer's backward pass


class LayerCall(NamedTuple):
    """A decoder layer and what a forward pass gave it. `states`: (rows, tokens, width)."""

    layer: Any
    states: Tensor
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


class _EnoughError(Exception):
    """Ends a forward pass once all kinds of layers were called."""


@torch.no_grad()
def layer_calls(
    model: Any, batch: Batch | Packed, within: AbstractContextManager[Any] | None = None
) -> list[LayerCall]:
    """The first call of each kind of decoder layer in a forward pass, which ends there, `within` a context."""
    firsts: dict[Any, nn.Module] = {}
    for layer in decoder_layers(model):
        firsts.setdefault(_kind(layer), layer)
    found: list[LayerCall] = []

    def seen(layer: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        named = dict(keywords)
        states, *others = arguments or (named.pop("hidden_states"),)
        found.append(LayerCall(layer, states, tuple(others), named))
        if len(found) == len(firsts):
            raise _EnoughError

    handles = [layer.register_forward_pre_hook(seen, with_kwargs=True) for layer in firsts.values()]
    try:
        with within or nullcontext(), suppress(_EnoughError):
            score(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def outcome(call: LayerCall, real: Tensor | None = None) -> Outcome:
    """The layer's output, and the gradients of its input and weights, for fixed gradients of the output.

    `real`: (tokens,) int64, the places of the tokens to count among (rows x tokens); None: all of them.
    """
    states = call.states.detach().clone().requires_grad_()
    weights = [parameter for parameter in call.layer.parameters() if parameter.requires_grad]
    found = call.layer(states, *call.arguments, **call.keywords)
    output = (found[0] if isinstance(found, tuple) else found).flatten(0, 1)
    output = output if real is None else output[real.to(output.device)]
    outer = torch.randn(output.shape, generator=torch.Generator().manual_seed(_SEED)).to(output)
    of_states, *others = torch.autograd.grad(
        output, [states, *weights], outer, allow_unused=True, materialize_grads=True
    )
    of_states = of_states.flatten(0, 1) if real is None else of_states.flatten(0, 1)[real.to(output.device)]
    return Outcome([output.detach()], [of_states, *others])


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        [each for found in outcomes for each in found.values], [each for found in outcomes for each in found.gradients]
    )


def _kind(layer: nn.Module) -> tuple[Any, ...]:
    """Layers of one kind run the same code: a window, a mixture of experts or a recurrence make another kind."""
    attention = getattr(layer, "self_attn", None)
    return (*map(type, layer.children()), type(layer), getattr(attention, "sliding_window", None))
