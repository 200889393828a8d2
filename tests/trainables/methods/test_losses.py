"""Every method against its equation in float64, and what has no influence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.trainables.methods.cases import names, seeds, values_of
from tests.trainables.methods.equations import EQUATIONS, RETAIN_EQUATIONS, Values
from trainables.batching.scores import Scores
from trainables.methods import METHODS, Forget, Method
from trainables.methods.retain_terms import RETAIN_TERMS
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
    retain_of,
)

Whole = TypeVar("Whole", Case, Forget, Scores)
terms = sorted(RETAIN_TERMS)
BETA = {"beta": 0.3}


def forget_loss(method: Method, data: Case, tensors: dict[str, Tensor], values: Values) -> Tensor:
    return method.forget_loss(forget_of(method, data, tensors, values), values)


def retain_loss(name: str, data: Case, tensors: dict[str, Tensor]) -> Tensor:
    return RETAIN_TERMS[name].per_row(retain_of(data, tensors), BETA)


def test_every_method_and_retain_term_has_an_equation() -> None:
    assert set(EQUATIONS) == set(METHODS)
    assert set(RETAIN_EQUATIONS) == set(RETAIN_TERMS)


@pytest.mark.parametrize("name", names)
@settings(max_examples=20)
@given(seeds, st.data())
def test_a_loss_agrees_with_its_equation(name: str, seed: int, draws: st.DataObject) -> None:
    """For any logits and any hyper-parameters within the declared ranges."""
    method, data = METHODS[name], case(seed)
    values = draws.draw(values_of(method))
    loss = forget_loss(method, data, leaves(data), values)
    assert loss.shape == (ROWS,)
    np.testing.assert_allclose(loss.detach().numpy(), EQUATIONS[name](data, values), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", terms)
@settings(max_examples=20)
@given(seeds)
def test_a_retain_term_agrees_with_its_equation(name: str, seed: int) -> None:
    data = case(seed)
    loss = retain_loss(name, data, leaves(data))
    np.testing.assert_allclose(loss.detach().numpy(), RETAIN_EQUATIONS[name](data, BETA), rtol=1e-9, atol=1e-9)


def with_part(whole: Whole, part: str, value: object) -> Whole:
    """The same with one field changed, named by a string."""
    changes: dict[str, Any] = {part: value}
    return replace(whole, **changes)


@pytest.mark.parametrize("name", terms)
@settings(max_examples=10)
@given(seeds)
def test_positions_outside_the_answer_have_no_influence_on_a_retain_term(name: str, seed: int) -> None:
    """Neither on its value nor on its gradient, whatever model and reference say there."""
    data = case(seed)
    found = []
    for each in (data, moved_outside(data, seed)):
        tensors = leaves(each)
        loss = retain_loss(name, each, tensors)
        of_leaves = gradients(loss, tensors)
        assert of_leaves["model"] is not None or name == "hidden"
        found.append({"loss": loss, **{k: v for k, v in of_leaves.items() if v is not None}})
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", terms)
def test_no_gradient_of_a_retain_term_reaches_the_reference(name: str) -> None:
    data = case(1)
    tensors = leaves(data)
    found = gradients(retain_loss(name, data, tensors), tensors)
    assert [leaf for leaf in FROZEN if found[leaf] is not None] == []


def test_the_statistic_of_kto_is_a_number() -> None:
    data = case(1)
    tensors = leaves(data)
    loss = forget_loss(METHODS["kto"], data, tensors, defaults(METHODS["kto"]))
    assert gradients(loss, tensors)["alternative"] is None


@pytest.mark.parametrize("name", names)
def test_a_missing_input_is_an_error(name: str) -> None:
    method, data = METHODS[name], case(4)
    values = defaults(method)
    whole = forget_of(method, data, leaves(data), values)
    for part in ("reference", "alternative", "alternative_reference", "statistic"):
        if getattr(whole, part) is not None:
            with pytest.raises(ValueError, match="None must be"):
                lacking = with_part(whole, part, None)
                method.forget_loss(lacking, values)
                assert method.statistic is not None
                method.statistic(lacking, values)
    for part in ("logits", "targets", "hidden"):
        if getattr(whole.model, part) is not None and not (part == "targets" and name in ("me", "em", "em_rt", "pdu")):
            with pytest.raises(ValueError, match=f"{part}.* None must be"):
                method.forget_loss(replace(whole, model=with_part(whole.model, part, None)), values)


@pytest.mark.parametrize("name", [name for name in names if METHODS[name].reference == "log_probs"])
@pytest.mark.parametrize("rows", [1, ROWS + 1])
def test_a_reference_that_would_broadcast_is_refused(name: str, rows: int) -> None:
    method, data = METHODS[name], case(3)
    values = defaults(method)
    forget = forget_of(method, data, leaves(data), values)
    assert forget.reference is not None
    other = forget.reference.rows(0, 1)
    wrong = replace(other, token_log_probs=other.token_log_probs.expand(rows, -1), mask=other.mask.expand(rows, -1))
    with pytest.raises(ValueError, match=r"must be \(3"):
        method.forget_loss(replace(forget, reference=wrong), values)
