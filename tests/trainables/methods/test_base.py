"""The registry: consistent declarations, values that make a valid trial, pickling."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from trainables.config import Hyperparameters
from trainables.methods import METHODS, Hyperparameter, Method
from trainables.methods.ga import GA
from trainables.methods.retain_terms import RETAIN_TERMS

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)


def hyper(**values: float) -> Hyperparameters:
    return Hyperparameters.model_validate({"method": "npo", "forget_fraction": 0.1, "learning_rate": 1e-5, **values})


@every_method
def test_every_method_is_listed_under_its_name_with_a_retain_term_and_a_paper(method: Method) -> None:
    assert METHODS[method.name] is method
    assert method.retain == "none" or method.retain in RETAIN_TERMS
    assert "arXiv" in method.source


@every_method
def test_a_trial_without_values_has_the_defaults(method: Method) -> None:
    assert method.values(hyper()) == {name: each.default for name, each in method.hyperparameters.items()}
    assert set(method.hyperparameters).isdisjoint(Hyperparameters.model_fields)


def test_a_trial_overrides_defaults() -> None:
    method = METHODS["npo_rt"]
    assert method.values(hyper()) == {"beta": 0.1, "retain_weight": 1.0}
    assert method.values(hyper(beta=0.5, retain_weight=0.0)) == {"beta": 0.5, "retain_weight": 0.0}
    assert METHODS["ga"].values(hyper(beta=0.5, retain_weight=2.0)) == {}


def test_retain_weight_without_a_retain_term_is_refused_and_the_reverse() -> None:
    with pytest.raises(ValueError, match="retain_weight goes with a retain term"):
        dataclasses.replace(GA, retain="nll")
    with pytest.raises(ValueError, match="retain_weight goes with a retain term"):
        dataclasses.replace(METHODS["ga_rt"], retain="none")


@pytest.mark.parametrize(("low", "high", "log", "default"), [(0.1, 1.0, True, 2.0), (0.0, 1.0, True, 0.5)])
def test_impossible_ranges_are_refused(low: float, high: float, log: bool, default: float) -> None:
    with pytest.raises(ValueError, match="must"):
        Hyperparameter(low=low, high=high, log=log, default=default)


@every_method
def test_methods_travel_to_workers(method: Method) -> None:
    assert pickle.loads(pickle.dumps(method)) == method
