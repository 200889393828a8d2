"""Compares compiled decoder layers with the same layers uncompiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from trainables.batching.packing import Packed
from trainables.batching.rows import Batch
from trainables.model.compile import eager_mode, raising_errors, stop_compiling
from trainables.runtime.fast_paths import TOLERANCE, Outcome, Ways, prove
from trainables.runtime.ranks import Group
from trainables.self_check.layer_calls import LayerCall, joined, layer_calls, outcome
from trainables.self_check.layers import kind_of


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
        return joined([outcome(call) for call in calls()])

    def fast() -> Outcome:
        with raising_errors():
            return run()

    def plain() -> Outcome:
        with eager_mode():
            return run()

    return fast, plain
