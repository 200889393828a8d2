"""Rules of a sweep file for the synthetic experiment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from letheon.spec.model import SweepSpec, places_of_values
from letheon.spec.source import KeyPath, Problem
from trainables.methods import METHODS
from trainables.synthetic.name import SYNTHETIC
from trainables.synthetic.rules import method_problem

_TRAINING = ("batch_size", "warmup_epochs", "weight_decay")


_OF_MODELS = ("micro_batch_size", "precision", "deepspeed", "compat", "lora", "refusals")


def synthetic_problems(spec: SweepSpec) -> Iterator[Problem]:
    """What the synthetic experiment cannot do, and what would mean nothing to it; nothing for other benchmarks."""
    if spec.benchmark.name != SYNTHETIC:
        return
    yield from _methods(spec)
    if spec.trial.workers != 1:
        yield Problem(("trial", "workers"), "must be 1 for the synthetic experiment, which is not split", "write 1")
    if spec.trial.gpus_per_worker:
        yield Problem(("trial", "gpus_per_worker"), "must be 0: the synthetic experiment runs on the CPU", "write 0")
    for path in _meaningless(spec):
        rule = "means nothing to the synthetic experiment: full-batch gradient descent on random features"
        yield Problem(path, rule, "remove it")


def _methods(spec: SweepSpec) -> Iterator[Problem]:
    for path, name in places_of_values(spec, "method"):
        refusal = method_problem(str(name)) if name in METHODS else None  # an unknown one is refused elsewhere
        if refusal is not None:
            yield Problem(path, *refusal.split("; ", 1))


def _meaningless(spec: SweepSpec) -> Iterator[KeyPath]:
    """Settings that differ from their defaults (a file that was written back has every default in it)."""

    def changed(section: Any, names: tuple[str, ...]) -> list[str]:
        fields = type(section).model_fields
        return [name for name in names if getattr(section, name) != fields[name].get_default(call_default_factory=True)]

    yield from (("trial", name) for name in changed(spec.trial, (*_TRAINING, *_OF_MODELS)))
    yield from (("search", name) for name in _TRAINING if name in spec.search)
    yield from ((name,) for name in changed(spec, ("model", "evaluation", "audit")))
