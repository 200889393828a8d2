"""The built-in methods keep every promise of a method, and each promise catches a loss that breaks it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from trainables.methods import METHODS, Forget, Hyperparameter, Method, Values
from trainables.methods.base import log_ratio
from trainables.methods.tokens import sum_over_answer
from trainables.plugins import contract
from trainables.plugins.contract import CHECKS, ContractBroken

NPO = METHODS["npo"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_built_in_methods_keep_their_promises(name: str, check: Callable[[Method], None]) -> None:
    check(METHODS[name])


def broken(loss: Callable[[Forget, Values], object], **changes: object) -> Method:
    return dataclasses.replace(NPO, name="broken", forget_loss=loss, **changes)  # type: ignore[arg-type]


def mean_over_rows(forget: Forget, values: Values) -> Tensor:
    ratio = log_ratio(forget.model, forget.reference)
    return ratio - ratio.mean()


def with_gradient_to_the_reference(forget: Forget, values: Values) -> Tensor:
    assert forget.reference is not None
    return forget.model.sequence - forget.reference.sequence


def log_of_one_minus_p(forget: Forget, values: Values) -> Tensor:
    return sum_over_answer((1 - forget.model.token_log_probs.exp()).log(), forget.model)


BROKEN: dict[str, tuple[Callable[[Forget, Values], object], str, str]] = {
    "a scalar": (lambda f, v: f.model.sequence.mean(), "loss_is_one_number_per_row", r"shape \(\).*one per row"),
    "per token": (lambda f, v: f.model.token_log_probs, "loss_is_one_number_per_row", r"shape \(3, 5\)"),
    "a number": (lambda f, v: 0.5, "loss_is_one_number_per_row", "the loss is 0.5"),
    "nothing": (lambda f, v: None, "loss_is_one_number_per_row", "the loss is None"),
    "whole numbers": (lambda f, v: f.model.lengths, "loss_is_one_number_per_row", "must be a tensor"),
    "NaN": (lambda f, v: f.model.sequence * math.nan, "loss_is_one_number_per_row", "must be finite"),
    "infinite at the low end": (
        lambda f, v: f.model.sequence / (v["beta"] - 0.01),
        "loss_is_one_number_per_row",
        "'beta': 0.01",
    ),
    "no gradient": (lambda f, v: f.model.sequence.detach(), "loss_is_one_number_per_row", "has no gradient"),
    "a gradient of 0": (lambda f, v: f.model.sequence * 0, "loss_moves_the_model", "every gradient is 0"),
    "a mean over rows": (mean_over_rows, "rows_are_independent", "do not mean over rows"),
    "no rows": (lambda f, v: f.model.sequence[:1].sum() + f.model.sequence, "rows_are_independent", "computed alone"),
    "all positions": (
        lambda f, v: f.model.logits.sum((-1, -2)),  # type: ignore[union-attr]
        "only_answers_count",
        "outside of the answers",
    ),
    "the reference": (with_gradient_to_the_reference, "the_reference_is_frozen", "reaches reference"),
    "log(1 - p)": (log_of_one_minus_p, "float32_survives_certainty", "probabilities of 0 and 1"),
    "float64": (lambda f, v: f.model.sequence.double(), "float32_survives_certainty", "torch.float64"),
    "NaN as 0": (lambda f, v: f.model.sequence.nan_to_num(), "broken_models_are_not_hidden", "do not replace NaN"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_loss_is_caught_with_its_fix(what: str) -> None:
    loss, check, message = BROKEN[what]
    method = broken(loss, needs_logits=what == "all positions")
    with pytest.raises(ContractBroken, match=message) as caught:
        getattr(contract, check)(method)
    assert "; " in str(caught.value)


def test_what_a_mechanism_reads_must_be_declared() -> None:
    undeclared: dict[str, dict[str, Any]] = {
        "fit_epochs": {"line": lambda share, values: share},
        "depth": {"needs_hidden": True},
    }
    for name, changes in undeclared.items():
        with pytest.raises(ContractBroken, match=f"reads {name}; add it"):
            contract.declarations_agree(dataclasses.replace(NPO, **changes))
    with pytest.raises(ContractBroken, match="declare the alternative"):
        contract.declarations_agree(dataclasses.replace(NPO, reduction="alternative_tokens"))


def test_combine_multiplier_and_statistic_are_tried_too() -> None:
    ngdiff, pdu, kto = METHODS["ngdiff"], METHODS["pdu"], METHODS["kto"]
    with pytest.raises(ContractBroken, match="two finite numbers"):
        contract.other_functions_return_numbers(dataclasses.replace(ngdiff, combine=lambda p, v: (math.nan, 1.0)))
    with pytest.raises(ContractBroken, match="multiplier returns -1"):
        contract.other_functions_return_numbers(dataclasses.replace(pdu, multiplier=lambda w, x, v: -1.0))
    with pytest.raises(ContractBroken, match="the statistic is"):
        contract.loss_is_one_number_per_row(dataclasses.replace(kto, statistic=lambda f, v: f.model.sequence.mean()))


def test_a_hyperparameter_says_why_a_number_is_refused() -> None:
    count = Hyperparameter(1, 4, False, 2, whole=True, ge=1, le=8)
    assert count.refusal(3) is None
    assert count.refusal(2.5) == "must be a whole number"
    assert count.refusal(0) == "must be >= 1"
    assert count.refusal(9) == "must be <= 8"
    few = Hyperparameter.one_of(1, 2, 4, default=2)
    assert (few.low, few.high, few.whole) == (1, 4, True)
    assert few.refusal(3) == "must be one of 1, 2, 4"
    with pytest.raises(ValueError, match="low, default and high must be possible values"):
        Hyperparameter(0.0, 1.0, False, 0.5, gt=0)
