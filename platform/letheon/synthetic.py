"""What a sweep over the synthetic experiment needs before its first trial, and what its file may say.

A protocol of its own beside `preparation`: no base, no template, no tokens; target and retain models of every seed lie
in one folder each. What is made is in `trainables.synthetic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from letheon.preparation import Artefact, Prepared, content_key
from letheon.spec import SweepSpec, places_of_values
from letheon.yaml_source import KeyPath, Problem
from trainables.methods import METHODS
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob
from trainables.synthetic.name import SYNTHETIC
from trainables.synthetic.rules import alpha_of, method_problem

CODE_VERSION = 1
"""Raise it when the same alpha and seed would give other models than before."""

_TRAINING = ("batch_size", "warmup_epochs", "weight_decay")
_OF_MODELS = ("micro_batch_size", "precision", "deepspeed", "compat", "lora", "refusals")


def layout(spec: SweepSpec, root: Path) -> Prepared:
    """Names and paths of everything the sweep needs, as `preparation.layout`."""
    models = root.resolve() / "models"
    alpha, seeds = alpha_of(spec.benchmark), tuple(sorted(spec.seeds))
    facts = (SYNTHETIC, CODE_VERSION, alpha, seeds)

    def trained(kind: str, fraction: float | None) -> Artefact:
        key = content_key(kind, fraction, *facts)
        folder = models / f"{SYNTHETIC}-{kind}{'' if fraction is None else f'-{fraction:g}'}-{key}"
        job = SyntheticModelsJob(alpha=alpha, seeds=seeds, fraction=fraction, folder=str(folder))
        return Artefact(kind, fraction, key, folder, job)

    def measured(fraction: float) -> Artefact:
        key = content_key("baseline", target.key, retain[fraction].key)
        file = models / f"{SYNTHETIC}-baseline-{fraction:g}-{key}.json"
        job = SyntheticBaselineJob(
            alpha=alpha,
            seeds=seeds,
            fraction=fraction,
            target=str(target.path),
            retain=str(retain[fraction].path),
            file=str(file),
        )
        return Artefact("baseline", fraction, key, file, job)

    target = trained("target", None)
    retain = {fraction: trained("retain", fraction) for fraction in spec.fractions}
    baseline = {fraction: measured(fraction) for fraction in spec.fractions}
    cache = root.resolve() / "cache" / "reference"
    return Prepared(content_key(*facts), None, target, retain, baseline, "none", cache)


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
