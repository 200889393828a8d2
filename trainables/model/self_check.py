"""Compares the fast ways through a decoder layer with the plain one, on real rows of a model.

One layer of each kind is run, not the model: it takes milliseconds and little memory, and in half precision no other
layers add their rounding. The plain way is the library's own layer on padded rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainables.batching.packing import Packed, Packing, device_has_kernel, pack
from trainables.batching.rows import Batch, Encoded, collate
from trainables.model.compile import decoder_layers, eager_mode, raising_errors, stop_compiling
from trainables.model.copies import cast_parameters
from trainables.model.cpu.patch import is_patched
from trainables.model.packed_attention import HEAD_SIZES, takes_packed
from trainables.model.scoring import score
from trainables.runtime.fast_paths import FAST_PATHS, TOLERANCE, FastPath, Outcome, Ways, prove, without
from trainables.runtime.ranks import Group

ROWS, TOKENS = 4, 96
"""How many rows a comparison reads, and at most how many tokens of each."""
_SEED = 20_231  # of the gradients that enter a layer's backward pass
_NOTHING: Ways = (lambda: Outcome([]), lambda: Outcome([]))  # of a rank whose device does not have the path


class LayerCall(NamedTuple):
    """A decoder layer and what a forward pass gave it. `states`: (rows, tokens, width)."""

    layer: Any
    states: Tensor
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


class _EnoughError(Exception):
    """Ends a forward pass once all kinds of layers were called."""


def prove_layers(model: Any, rows: Sequence[Encoded], dtype: torch.dtype, group: Group) -> None:
    """Compare packed attention and CPU layers with the plain ones, unless that was done for this kind of model.

    `model`: on the CPU, in float32; `dtype`: what trials train it in, on the group's device. Every rank must call this.
    """
    kind, ways = kind_of(model, dtype, group.device), layer_ways(model, rows, dtype, group.device)
    of_ranks = group.gather(list(ways))  # which may have different devices
    for path in (each for each in FAST_PATHS if each in of_ranks):
        prove(path, kind, ways.get(path, _NOTHING), TOLERANCE[dtype], group)


def kind_of(model: Any, dtype: torch.dtype, device: torch.device | str) -> Hashable:
    """What a comparison holds for: models of one configuration and dtype on one device."""
    return type(model), model.config.to_json_string(), dtype, str(device)


def layer_ways(
    model: Any, rows: Sequence[Encoded], dtype: torch.dtype, device: torch.device | str, count: int = ROWS
) -> dict[FastPath, Ways]:
    """The fast and the plain way through the model's layers on `count` rows, by the paths that it has here.

    Runs nothing yet.
    """
    device, few = torch.device(device), shortened(rows, count)
    if not few or not decoder_layers(model):
        return {}

    @cache
    def calls(packed: bool) -> list[LayerCall]:
        batch = pack(few, "cpu") if packed else collate(few, 0)
        with without("lean layers"):
            return [_moved(call, dtype, device) for call in layer_calls(model, batch)]

    def way(packed: bool = True, kernel: bool = False, lean: bool = False) -> Callable[[], Outcome]:
        def run() -> Outcome:
            packs = packed and takes_packed(model)
            with nullcontext() if lean else without("lean layers"):
                return _joined([outcome(_with_kernel(call, kernel), _real(few, packs)) for call in calls(packs)])

        return run

    found: dict[FastPath, Ways] = {}
    sizes = {getattr(each, "head_dim", 0) for each in model.modules()} - {0}
    if takes_packed(model):
        found["packed rectangles"] = way(), way(packed=False)
        if device_has_kernel(device) and dtype.itemsize < torch.float32.itemsize and sizes <= set(HEAD_SIZES):
            found["packed attention kernel"] = way(kernel=True), way(packed=False)
    if is_patched(model) and device.type == "cpu":
        found["lean layers"] = way(lean=True), way(packed=False)
    return found


def prove_compiled(model: Any, batch: Batch | Packed, group: Group) -> bool:
    """Compare compiled layers with the same layers uncompiled, on the batch that the model is about to train on.

    The batch's own size, so that nothing is compiled for the comparison alone. If they differ or do not compile,
    compilation ends in this process.
    """
    dtype = next(model.parameters()).dtype
    ways = compiled_ways(cache(lambda: layer_calls(model, batch, eager_mode())))
    if prove("compiled layers", kind_of(model, dtype, group.device), ways, TOLERANCE[dtype], group):
        return True
    stop_compiling()
    return False


def compiled_ways(calls: Callable[[], Sequence[LayerCall]]) -> Ways:
    """The layers of these calls as they are, which compiles them or raises, and uncompiled."""

    def run() -> Outcome:
        return _joined([outcome(call) for call in calls()])

    def fast() -> Outcome:
        with raising_errors():
            return run()

    def plain() -> Outcome:
        with eager_mode():
            return run()

    return fast, plain


def shortened(rows: Sequence[Encoded], count: int = ROWS) -> list[Encoded]:
    """The beginnings of the first `count` rows of more than one token."""
    some = [row for row in rows if len(row.input_ids) > 1][:count]
    return [Encoded(row.input_ids[:TOKENS], min(row.answer_start, len(row.input_ids[:TOKENS]) - 1)) for row in some]


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


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        [each for found in outcomes for each in found.values], [each for found in outcomes for each in found.gradients]
    )


def _kind(layer: nn.Module) -> tuple[Any, ...]:
    """Layers of one kind run the same code: a window, a mixture of experts or a recurrence make another kind."""
    attention = getattr(layer, "self_attn", None)
    return (*map(type, layer.children()), type(layer), getattr(attention, "sliding_window", None))


def _real(rows: Sequence[Encoded], packed: bool) -> Tensor:
    """The places of the rows' tokens, without the last one of each, in a packed or padded batch."""
    lengths = [len(row.input_ids) - 1 for row in rows]
    if packed:
        return torch.arange(sum(lengths))
    return torch.cat([i * max(lengths) + torch.arange(length) for i, length in enumerate(lengths)])


def _moved(call: LayerCall, dtype: torch.dtype, device: torch.device) -> LayerCall:
    """The call with a copy of its layer in this dtype on this device."""

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device, dtype if value.is_floating_point() else value.dtype)
        if isinstance(value, tuple | list):
            return type(value)(map(moved, value))
        return Packing.of(value.lengths, device) if isinstance(value, Packing) else value

    layer = cast_parameters(copy.deepcopy(call.layer).to(device), dtype).requires_grad_().eval()
    named = {name: moved(value) for name, value in call.keywords.items()}
    return LayerCall(layer, moved(call.states), moved(call.arguments), named)


def _with_kernel(call: LayerCall, kernel: bool) -> LayerCall:
    packing = call.keywords.get("packing")
    return (
        call
        if packing is None
        else call._replace(keywords={**call.keywords, "packing": replace(packing, kernel=kernel)})
    )
