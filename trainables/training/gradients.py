"""Gradient-level methods: combinations of two gradients, and the gradient at the worst nearby weights.

Both need whole weights and gradients on every worker, which ZeRO stages 0 to 2 give. Losses come from a function that
the caller passes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from trainables.batching.scores import to_float32
from trainables.methods.base import Method, Products, Values
from trainables.training.terms import MicroBatchResult, Terms

if TYPE_CHECKING:
    from trainables.inputs.micro_batches import MicroBatch

Gradients = list[Tensor]


class ComputeTerms(Protocol):
    """Computes both losses of a micro-batch, or one of them."""

    def __call__(
        self, part: MicroBatch, forget: bool = True, retain: bool = True, *, for_engine: bool = True
    ) -> Terms: ...


@dataclass(frozen=True)
class WholeBatch:
    """What a gradient-level step needs. `values`: hyper-parameters by name, `workers`: how many processes share the
    batch, `parts`: this rank's micro-batches, `results`: receives one result per micro-batch."""

    model: Any
    method: Method
    values: Values
    workers: int
    parts: Sequence[MicroBatch]
    terms: ComputeTerms
    results: list[MicroBatchResult]


def trainable(model: Any) -> list[Tensor]:
    """The parameters that are trained: all of them, or the adapters."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def gradients_of(loss: Tensor, parameters: Sequence[Tensor], keep_graph: bool = False) -> Gradients:
    """d loss / d parameters, at least float32, without touching `.grad`; zeros where it has no influence."""
    if not loss.requires_grad:
        return [_zeros(parameter) for parameter in parameters]
    found: tuple[Tensor | None, ...] = torch.autograd.grad(
        loss, list(parameters), retain_graph=keep_graph, allow_unused=True
    )
    return [
        _zeros(parameter) if gradient is None else to_float32(gradient)
        for gradient, parameter in zip(found, parameters, strict=True)
    ]


def _zeros(parameter: Tensor) -> Tensor:
    return to_float32(torch.zeros_like(parameter))


def products(forget: Gradients, retain: Gradients) -> Products:
    """Squared lengths and inner product, summed in float64."""

    def inner(first: Gradients, second: Gradients) -> float:
        return float(sum((a.double() * b.double()).sum() for a, b in zip(first, second, strict=True)))

    return Products(inner(forget, forget), inner(retain, retain), inner(forget, retain))


def sum_over_workers(gradients: Gradients, size: int) -> Gradients:
    """The sum over all workers, on each of them."""
    if size == 1:
        return gradients
    whole = [gradient.clone() for gradient in gradients]
    for gradient in whole:
        torch.distributed.all_reduce(gradient)
    return whole


def combined(batch: WholeBatch) -> Iterator[Tensor]:
    """One loss whose gradient is a * forget gradient + b * retain gradient, with a and b from the whole batch.

    Both gradients come from one forward pass. The yielded loss is linear in the weights and its gradient is the
    combination, so optimizer, clipping and averaging over workers work as usual.
    """
    parameters = trainable(batch.model)
    forget = [_zeros(parameter) for parameter in parameters]
    retain = [torch.zeros_like(gradient) for gradient in forget]
    found: list[Terms] = []
    for part in batch.parts:
        of_part = batch.terms(part, for_engine=False)
        if of_part.retain is None:
            raise ValueError(f"{batch.method.name} combines two gradients: it must declare a retain term")
        _add(forget, gradients_of(of_part.forget, parameters, keep_graph=True))
        _add(retain, gradients_of(of_part.retain, parameters))
        found.append(of_part.detached())
    assert batch.method.combine is not None  # the caller checked
    a, b = batch.method.combine(
        products(sum_over_workers(forget, batch.workers), sum_over_workers(retain, batch.workers)), batch.values
    )
    for of_part in found:
        assert of_part.retain is not None  # checked above
        batch.results.append(MicroBatchResult.of(a * of_part.forget + b * of_part.retain, of_part))
    yield _linear(parameters, [a * f + b * r for f, r in zip(forget, retain, strict=True)])


def _add(total: Gradients, more: Gradients) -> None:
    for one, other in zip(total, more, strict=True):
        one.add_(other)


def _linear(parameters: Sequence[Tensor], gradients: Gradients) -> Tensor:
    """A scalar whose gradient is `gradients`."""
    parts = [(to_float32(p) * g).sum() for p, g in zip(parameters, gradients, strict=True)]
    return torch.stack(parts).sum()


def worst_nearby(batch: WholeBatch) -> Iterator[Tensor]:
    """The forget loss at theta + radius * g / |g|, then the retain term at theta; g is the whole batch's gradient."""
    parameters = trainable(batch.model)
    gradients = [_zeros(parameter) for parameter in parameters]
    for part in batch.parts:
        _add(gradients, gradients_of(batch.terms(part, retain=False, for_engine=False).forget, parameters))
    direction = sum_over_workers(gradients, batch.workers)
    length = products(direction, direction).forget ** 0.5
    step = batch.values["radius"] / length if length > 0 else 0.0
    forget: list[Terms] = []
    with _moved(parameters, direction, step):
        for part in batch.parts:
            of_forget = batch.terms(part, retain=False)
            forget.append(of_forget.detached())
            yield of_forget.forget
    for part, of_forget in zip(batch.parts, forget, strict=True):
        of_retain = batch.terms(part, forget=False)
        kept = of_retain.retain
        if kept is None:
            raise ValueError(f"{batch.method.name} uses nearby weights: it must declare a retain term")
        loss = batch.values["retain_weight"] * kept
        whole = type(of_forget)(of_forget.forget, kept, of_forget.tokens + of_retain.tokens)
        batch.results.append(MicroBatchResult.of(of_forget.forget + loss, whole))
        yield loss


@contextmanager
def _moved(parameters: Sequence[Tensor], direction: Gradients, step: float) -> Iterator[None]:
    """The weights moved by step * direction, and restored bit for bit afterwards."""
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, direction, strict=True):
            parameter.add_((step * gradient).to(parameter.dtype))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, saved in zip(parameters, before, strict=True):
                parameter.copy_(saved)
