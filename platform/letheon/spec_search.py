"""Rules of a sweep file's search space. Its hyper-parameters are those of `Hyperparameters` and the methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from letheon.errors import did_you_mean
from letheon.searchers import LEARNING
from letheon.space import MAX_COMBINATIONS, combination_count, is_whole
from letheon.spec import Choice, Domain, LogUniform, SweepSpec, TrialSpec, Uniform, values_of
from letheon.spec_words import rule_and_fix
from letheon.yaml_source import KeyPath, Problem, exponent_as_text
from trainables.config import Hyperparameters
from trainables.methods import METHODS

_FIELDS = {name: field for name, field in Hyperparameters.model_fields.items() if name != "seed"}
_NAMES = ("method", "forget_fraction")
"""Values of these are categories: a model is prepared for each."""


def search_problems(spec: SweepSpec, broken: set[KeyPath]) -> Iterator[Problem]:
    """`broken`: settings that were refused before and are missing in `spec`; their absence proves nothing."""
    found = [*_key_problems(spec), *_method_problems(spec)]
    for name, domain in spec.search.items():
        if name in _FIELDS:
            found += _domain_problems(name, domain)
    yield from found
    yield from _searcher_problems(spec)
    if not found and not any(path[0] in ("search", "searcher") for path in broken):
        yield from _size_problems(spec)


def _key_problems(spec: SweepSpec) -> Iterator[Problem]:
    for name in spec.search:
        if name == "seed":
            yield Problem(("search", name), "is not searched", "list seeds at the top level: `seeds: [0, 1]`")
        elif name in ("epochs", "max_epochs"):
            yield Problem(("search", name), "is not searched: every epoch is a candidate", "set scheduler.max_epochs")
        elif name not in _FIELDS:
            yield Problem(("search", name), "unknown key", did_you_mean(name, _FIELDS))
        elif name in TrialSpec.model_fields and name in spec.trial.model_fields_set:
            yield Problem(("trial", name), "is also searched", f"remove it here or in search.{name}")
    for name, field in _FIELDS.items():
        if field.is_required() and name not in spec.search:
            example = {"method": "npo_rt", "forget_fraction": "0.1"}.get(name, "{loguniform: [1.0e-5, 1.0e-3]}")
            yield Problem(("search", name), "is missing", f"add `{name}: {example}`")


def _method_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Unknown methods, and hyper-parameters that none of the chosen methods has."""
    domain = spec.search.get("method")
    chosen = values_of(domain) if domain is not None else ()
    unknown = [(i, value) for i, value in enumerate(chosen) if value not in METHODS]
    for index, value in unknown:
        path: KeyPath = ("search", "method", "choice", index) if isinstance(domain, Choice) else ("search", "method")
        yield Problem(path, "unknown method", did_you_mean(str(value), METHODS))
    if unknown or not chosen:
        return
    for name in {key for method in METHODS.values() for key in method.hyperparameters} & set(spec.search):
        if not any(name in METHODS[str(method)].hyperparameters for method in chosen):
            having = ", ".join(method.name for method in METHODS.values() if name in method.hyperparameters)
            rule = f"none of the chosen methods ({', '.join(map(str, chosen))}) has a {name}"
            yield Problem(("search", name), rule, f"remove it, or choose a method that has one: {having}")


def _domain_problems(name: str, domain: Domain) -> Iterator[Problem]:
    path: KeyPath = ("search", name)
    if isinstance(domain, (Uniform, LogUniform)):
        yield from _range_problems(name, domain)
        return
    values = values_of(domain)
    for index, value in enumerate(values):
        place: KeyPath = (*path, "choice", index) if isinstance(domain, Choice) else path
        if value in values[:index]:
            yield Problem(place, "is listed twice", "list each value once")
        elif name != "method":
            yield from _value_problems(name, value, place)


def _range_problems(name: str, domain: Uniform | LogUniform) -> Iterator[Problem]:
    log = isinstance(domain, LogUniform)
    kind = "loguniform" if log else "uniform"
    low, high = domain.loguniform if isinstance(domain, LogUniform) else domain.uniform
    path: KeyPath = ("search", name, kind)
    if name in _NAMES:
        yield Problem(
            path, f"{name} cannot be a range, since every value needs its own preparation", "use {choice: […]}"
        )
        return
    if log and low <= 0:
        yield Problem((*path, 0), "must be > 0 in a log range", "give a small positive lower end, or use uniform")
    else:
        yield from _value_problems(name, low, (*path, 0))
    if low >= high:
        equal = "give the one value without a range" if low == high else f"write [{high:g}, {low:g}]"
        yield Problem(path, f"the lower end {low:g} must be < the upper end {high:g}", equal)
    else:
        yield from _value_problems(name, high, (*path, 1))


def _value_problems(name: str, value: object, path: KeyPath) -> Iterator[Problem]:
    """Against the type and bounds that `Hyperparameters` declares."""
    number = exponent_as_text(value)
    if number is not None:
        yield Problem(path, "YAML reads this as text where a number is meant", f"write {number}")
        return
    if is_whole(name) and isinstance(value, float) and value.is_integer():
        value = int(value)  # a range is kept as floats
    field = _FIELDS[name]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        yield Problem(path, *rule_and_fix(error.errors(include_url=False)[0], path, []))


def _searcher_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Searches without an end, and settings that the searcher would ignore."""
    name, budget = spec.searcher.name, spec.budget
    if name != "grid" and not budget.limits:
        rule = f"is missing, and {name.replace('_', '-')} search has no end of its own"
        yield Problem(("budget", "trials"), rule, "add `trials: 16`, or give epochs, gpu_hours or wall_hours")
    if budget.gpu_hours is not None and not spec.trial.gpus_per_worker:
        rule = "is never used up: trials hold no GPU (trial.gpus_per_worker is 0)"
        yield Problem(("budget", "gpu_hours"), rule, "give wall_hours, or let trials have GPUs")
    if spec.searcher.warm_start and name not in LEARNING:
        rule = f"{name} learns nothing from earlier sweeps"
        yield Problem(
            ("searcher", "warm_start"), rule, f"remove it, or choose a searcher that does: {', '.join(LEARNING)}"
        )


def _size_problems(spec: SweepSpec) -> Iterator[Problem]:
    if spec.searcher.name == "grid":
        for name, domain in spec.search.items():
            if isinstance(domain, (Uniform, LogUniform)):
                rule = "is a range, which a grid cannot walk through"
                yield Problem(("search", name), rule, "use {choice: […]}, or searcher.name: random")
    if combination_count(spec) > MAX_COMBINATIONS:
        rule = f"the choices have {combination_count(spec)} combinations, at most {MAX_COMBINATIONS} are supported"
        yield Problem(("search",), rule, "list fewer values, or use uniform or loguniform ranges")
