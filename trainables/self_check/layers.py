"""Compares the fast ways through a decoder layer with the plain one, on real rows of a model.

One layer of each kind is run, not the model: it takes milliseconds and little memory, and in half precision no other
layers add their rounding. The plain way is the library's own layer on padded rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from trainables.batching.packing import Packing, device_has_kernel, pack
from trainables.batching.rows import Encoded, collate
from trainables.model.compile import decoder_layers
from trainables.model.copies import cast_parameters
from trainables.model.cpu.patch import is_patched
from trainables.model.packed_attention import HEAD_SIZES, takes_packed
from trainables.runtime.fast_paths import FAST_PATHS, TOLERANCE, FastPath, Outcome, Ways, prove, without
from trainables.runtime.ranks import Group
from trainables.self_check.layer_calls import LayerCall, joined, layer_calls, outcome

ROWS, TOKENS = 4, 96
"""How many rows a comparison reads, and at most how many tokens of each."""
_NOTHING: Ways = (lambda: Outcome([]), lambda: Outcome([]))  # of a rank whose device does not have the path


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
                return joined([outcome(_with_kernel(call, kernel), _real(few, packs)) for call in calls(packs)])

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


def shortened(rows: Sequence[Encoded], count: int = ROWS) -> list[Encoded]:
    """The beginnings of the first `count` rows of more than one token."""
    some = [row for row in rows if len(row.input_ids) > 1][:count]
    return [Encoded(row.input_ids[:TOKENS], min(row.answer_start, len(row.input_ids[:TOKENS]) - 1)) for row in some]


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
