"""The registry: names, declarations, and that reading it costs no torch."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import trainables
from trainables.config import Hyperparameters
from trainables.methods import METHODS, Hyperparameter, Method
from trainables.methods.ga import GA


def hyper(**values: float) -> Hyperparameters:
    return Hyperparameters.model_validate({"method": "npo", "forget_fraction": 0.1, "learning_rate": 1e-5, **values})


def test_methods_have_the_papers_names() -> None:
    assert {name: method.name for name, method in METHODS.items()} == {
        name: name for name in ("ga", "ga_rt", "ga_kl", "npo", "npo_rt", "npo_kl")
    }


@pytest.mark.parametrize(
    ("name", "declared", "model", "table"),
    [
        ("ga", [], False, False),
        ("ga_rt", ["retain_weight"], False, False),
        ("ga_kl", ["retain_weight"], True, False),
        ("npo", ["beta"], False, True),
        ("npo_rt", ["beta", "retain_weight"], False, True),
        ("npo_kl", ["beta", "retain_weight"], True, True),
    ],
)
def test_what_each_method_needs(name: str, declared: list[str], model: bool, table: bool) -> None:
    method = METHODS[name]
    assert list(method.hyperparameters) == declared
    assert (method.needs_reference_model, method.needs_reference_table) == (model, table)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_declared_hyperparameters_are_optional_fields_of_a_trial(method: Method) -> None:
    for name in method.hyperparameters:
        assert Hyperparameters.model_fields[name].default is None


def test_defaults_are_the_papers_and_a_trial_overrides_them() -> None:
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


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_methods_travel_to_workers(method: Method) -> None:
    assert pickle.loads(pickle.dumps(method)) == method


def test_importing_the_methods_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, trainables.methods; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    root = Path(trainables.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
