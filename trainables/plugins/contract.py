"""What every method promises, as functions that try one on a tiny case: 3 answers, 7 tokens, made-up logits.

The training loop relies on all of it without asking: a loss of the wrong shape would broadcast, and one whose rows
depend on each other would change with the number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trainables.batching.scores import Scores
from trainables.config import Hyperparameters
from trainables.methods import Forget, Method
from trainables.methods.base import Products
from trainables.plugins.cases import (
    FROZEN,
    ROWS,
    Case,
    case,
    defaults,
    forget_of,
    gradients,
    leaves,
    moved_outside,
    rows_of,
    with_statistic,
)

Values = Mapping[str, float]

SEED = 5
EXTREME = 1e4
"""A logit by which a token has probability 1 or 0 to the last bit of float32."""


class ContractBroken(AssertionError):
    """`rule; fix` for one method."""


def declarations_agree(method: Method) -> None:
    """What a mechanism reads is declared, and defaults and both ends of every range make a trial."""
    needed = {
        "radius": method.worst_nearby,
        "fit_epochs": method.line is not None,
        "depth": method.needs_hidden or method.retain == "hidden",
        "beta": method.retain == "preference",
        "retain_weight": method.multiplier is not None,
    }
    for name, is_needed in needed.items():
        if is_needed and name not in method.hyperparameters:
            raise ContractBroken(f"what it declares reads {name}; add it to hyperparameters")
    if method.reduction == "alternative_tokens" and method.alternative == "none":
        raise ContractBroken("the reduction counts tokens of alternatives, and it has none; declare the alternative")
    for end in ("low", "default", "high"):
        values = {name: getattr(each, end) for name, each in method.hyperparameters.items()}
        hyper = Hyperparameters(method=method.name, forget_fraction=0.1, learning_rate=1e-5, **values)
        if method.values(hyper) != values:
            raise ContractBroken(f"a trial with {values} reads {method.values(hyper)}; declare numbers")


def loss_is_one_number_per_row(method: Method) -> None:
    """A float tensor (rows,), finite and with finite gradients, at defaults and both ends of every range."""
    for values, data in ((values, data) for values in _corners(method) for data in (case(SEED), _at_reference())):
        tensors = leaves(data)
        loss: Any = _loss(method, data, tensors, values)
        if not isinstance(loss, Tensor) or loss.shape != (ROWS,) or not loss.is_floating_point():
            raise ContractBroken(f"the loss is {_shown(loss)}; it must be a tensor of {ROWS} numbers, one per row")
        if not loss.isfinite().all():
            raise ContractBroken(f"the loss is {loss.tolist()} with {dict(values)}; it must be finite")
        if not loss.requires_grad:
            raise ContractBroken("the loss has no gradient; compute it from forget.model, without detach or item")
        for leaf, gradient in gradients(loss, tensors).items():
            if gradient is not None and not gradient.isfinite().all():
                raise ContractBroken(f"the gradient on {leaf} is not finite with {dict(values)}; avoid 0/0 and log 0")


def loss_moves_the_model(method: Method) -> None:
    """Some score of the model in training has a gradient."""
    tensors = leaves(case(SEED))
    found = gradients(_loss(method, case(SEED), tensors, defaults(method)), tensors)
    if not any(gradient is not None and gradient.any() for gradient in found.values()):
        raise ContractBroken("every gradient is 0, so nothing would be learned; compute the loss from forget.model")


def rows_are_independent(method: Method) -> None:
    """A row's loss does not depend on the other rows, so that workers and micro-batches may split them."""
    forget, values = _forget(method, case(SEED), leaves(case(SEED)), defaults(method)), defaults(method)
    whole = method.forget_loss(forget, values)
    parts = torch.cat([method.forget_loss(rows_of(forget, i, i + 1), values) for i in range(ROWS)])
    if not torch.allclose(whole, parts, rtol=1e-9, atol=1e-11):
        rule = f"rows computed alone have losses {parts.tolist()}, together {whole.tolist()}"
        raise ContractBroken(f"{rule}; do not mean over rows: `reduction` does, and `statistic` gives a batch's mean")


def no_rows_are_a_valid_part(method: Method) -> None:
    """A worker may have none of a batch; its share is an empty tensor that a backward pass can start from."""
    tensors, values = leaves(case(SEED)), defaults(method)
    loss = method.forget_loss(rows_of(_forget(method, case(SEED), tensors, values), 0, 0), values)
    if loss.shape != (0,) or any(each.any() for each in gradients(loss, tensors).values() if each is not None):
        raise ContractBroken(f"of no rows the loss is {_shown(loss)}; it must be a tensor of shape (0,)")


def only_answers_count(method: Method) -> None:
    """Positions outside of the answers (`Scores.mask`) change neither the loss nor a gradient."""
    found = []
    for data in (case(SEED), moved_outside(case(SEED), SEED)):
        tensors = leaves(data)
        loss = _loss(method, data, tensors, defaults(method))
        found.append([loss, *(each for each in gradients(loss, tensors).values() if each is not None)])
    if not all(torch.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in zip(found[0], found[1], strict=True)):
        raise ContractBroken("scores outside of the answers change the loss; sum with sum_over_answer")


def the_reference_is_frozen(method: Method) -> None:
    """No gradient reaches the target model."""
    tensors = leaves(case(SEED))
    found = gradients(_loss(method, case(SEED), tensors, defaults(method)), tensors)
    if reached := [leaf for leaf in FROZEN if found[leaf] is not None]:
        raise ContractBroken(f"a gradient reaches {', '.join(reached)}; detach what is read of the reference")


def float32_survives_certainty(method: Method) -> None:
    """Finite in float32 where the model is certain of an answer, and where it is certain of another one."""
    for model, reference in ((EXTREME, EXTREME), (-EXTREME, EXTREME), (EXTREME, -EXTREME), (-EXTREME, -EXTREME)):
        tensors = [torch.tensor([[[logit, 0.0, 1.0, 2.0]] * 2], requires_grad=True) for logit in (model, model)]
        answer, other, frozen = (*map(_certain, tensors), _certain(torch.tensor([[[reference, 0.0, 1.0, 2.0]] * 2])))
        forget = with_statistic(method, Forget(answer, frozen, other, frozen), defaults(method))
        loss = method.forget_loss(forget, defaults(method))
        found: tuple[Tensor | None, ...] = torch.autograd.grad(loss.sum(), tensors, allow_unused=True)
        if loss.dtype != torch.float32:
            raise ContractBroken(f"the loss of float32 scores is {loss.dtype}; keep the precision of the scores")
        if not loss.isfinite().all() or any(each is not None and not each.isfinite().all() for each in found):
            raise ContractBroken(f"at probabilities of 0 and 1 the loss is {loss.tolist()}; use log_sigmoid")


def broken_models_are_not_hidden(method: Method) -> None:
    """Scores of NaN give a loss of NaN: a broken model must not look forgotten."""
    broken, fine = _certain(torch.full((1, 2, 4), math.nan)), _certain(torch.tensor([[[EXTREME, 0.0, 1.0, 2.0]] * 2]))
    forget = with_statistic(method, Forget(broken, fine, broken, fine), defaults(method))
    loss = method.forget_loss(forget, defaults(method))
    if not loss.isnan().all():
        raise ContractBroken(f"of scores that are NaN the loss is {loss.tolist()}; do not replace NaN")


def other_functions_return_numbers(method: Method) -> None:
    """`combine` returns two finite factors, also for gradients of 0; `multiplier` one finite weight >= 0."""
    values = defaults(method)
    for products in (Products(2.0, 3.0, -1.0), Products(0.0, 0.0, 0.0)):
        factors: Any = (1.0, 1.0) if method.combine is None else method.combine(products, values)
        if len(factors) != 2 or not all(math.isfinite(each) for each in factors):  # noqa: PLR2004 (a pair)
            raise ContractBroken(f"combine returns {factors} for {products}; it must return two finite numbers")
    weight = 1.0 if method.multiplier is None else method.multiplier(1.0, 0.5, values)
    if not (math.isfinite(weight) and weight >= 0):
        raise ContractBroken(f"multiplier returns {weight}; it must return a finite number >= 0")


CHECKS: tuple[Callable[[Method], None], ...] = (
    declarations_agree,
    loss_is_one_number_per_row,
    loss_moves_the_model,
    rows_are_independent,
    no_rows_are_a_valid_part,
    only_answers_count,
    the_reference_is_frozen,
    float32_survives_certainty,
    broken_models_are_not_hidden,
    other_functions_return_numbers,
)
"""In this order: the first that fails is the easiest to understand."""


def _corners(method: Method) -> Iterator[Values]:
    for end in ("default", "low", "high"):
        yield {name: getattr(each, end) for name, each in method.hyperparameters.items()}


def _at_reference() -> Case:
    """The start of a trial: the model is the target model."""
    data = case(SEED)
    return Case(data.answers, data.others, *[data.model] * 2, *[data.alternative] * 2, *[data.hidden] * 2)


def _forget(method: Method, data: Case, tensors: Mapping[str, Tensor], values: Values) -> Forget:
    if method.statistic is not None:
        found: Any = method.statistic(forget_of(_without_statistic(method), data, tensors, values), values)
        if not isinstance(found, Tensor) or found.shape != (ROWS,):
            raise ContractBroken(f"the statistic is {_shown(found)}; it must be a tensor of {ROWS} numbers")
    return forget_of(method, data, tensors, values)


def _without_statistic(method: Method) -> Method:
    return replace(method, statistic=None)


def _loss(method: Method, data: Case, tensors: Mapping[str, Tensor], values: Values) -> Tensor:
    return method.forget_loss(_forget(method, data, tensors, values), values)


def _certain(logits: Tensor) -> Scores:
    """Scores of the answer that says token 0 at every position; logits (rows, positions, vocabulary)."""
    log_probs = logits.log_softmax(-1)[..., 0]
    targets = torch.zeros(log_probs.shape, dtype=torch.long)
    return Scores(log_probs, torch.ones_like(targets, dtype=torch.bool), logits, targets, logits)


def _shown(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
