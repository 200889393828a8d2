"""Rules for the search section, its searcher and its budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from letheon.common.errors import did_you_mean
from letheon.spec.model import (
    LEARNING_SEARCHERS,
    LogUniform,
    SweepSpec,
    TrialSpec,
    Uniform,
    values_of,
    values_with_paths,
)
from letheon.spec.search_space import MAX_COMBINATIONS, SearchSpace
from letheon.spec.source import KeyPath, Problem
from letheon.spec.words import rule_and_fix
from trainables.config import Hyperparameters
from trainables.methods import Hyperparameter

_FIELDS = {name: field for name, field in Hyperparameters.model_fields.items() if name != "seed"}
"""The hyper-parameters that every method has; the others are declared by methods."""
_CATEGORIES = ("method", "forget_fraction")
"""Hyper-parameters that cannot be ranges: the values must be known before the search."""


def search_problems(spec: SweepSpec, broken: set[KeyPath]) -> Iterator[Problem]:
    """`broken`: settings that were refused before and are therefore missing from `spec`."""
    complete = spec.is_imported and ("plugins",) not in broken  # else a name may be a plug-in's
    found = [*_key_problems(spec, complete), *_method_problems(spec, complete)]
    for name in filter(_hyperparameters(spec).__contains__, spec.search):
        found += _domain_problems(spec, name)
    yield from found
    yield from _searcher_problems(spec)
    if not found and not spec.unknown_methods and not any(path[0] in ("search", "searcher") for path in broken):
        yield from _size_problems(spec)


def _hyperparameters(spec: SweepSpec) -> list[str]:
    """The hyper-parameters that any method has."""
    return list(dict.fromkeys([*_FIELDS, *(name for each in spec.methods.values() for name in each.hyperparameters)]))


def _key_problems(spec: SweepSpec, complete: bool) -> Iterator[Problem]:
    known = _hyperparameters(spec)
    for name in spec.search:
        if name == "seed":
            yield Problem(("search", name), "is not searched", "list seeds at the top level: `seeds: [0, 1]`")
        elif name in ("epochs", "max_epochs"):
            yield Problem(("search", name), "is not searched: every epoch is a candidate", "set scheduler.max_epochs")
        elif complete and name not in known:
            yield Problem(("search", name), "unknown key", did_you_mean(name, known))
        elif name in TrialSpec.model_fields and name in spec.trial.model_fields_set:
            yield Problem(("trial", name), "is also searched", f"remove it here or in search.{name}")
    for name, field in _FIELDS.items():
        if field.is_required() and name not in spec.search:
            example = {"method": "npo_rt", "forget_fraction": "0.1"}.get(name, "{loguniform: [1e-5, 1e-3]}")
            yield Problem(("search", name), "is missing", f"add `{name}: {example}`")


def _method_problems(spec: SweepSpec, complete: bool) -> Iterator[Problem]:
    """Unknown methods, and hyper-parameters that none of the chosen methods has."""
    chosen = values_with_paths(spec, "method")
    unknown = [(path, value) for path, value in chosen if value not in spec.methods]
    for path, value in unknown if complete else ():
        yield Problem(path, "unknown method", did_you_mean(str(value), spec.methods))
    if unknown or not chosen:
        return
    names = ", ".join(str(value) for _, value in chosen)
    for name in spec.search:
        having = ", ".join(method.name for method in spec.methods.values() if name in method.hyperparameters)
        if having and not any(name in spec.methods[str(value)].hyperparameters for _, value in chosen):
            fix = f"remove it (--set search.{name}=null does), or choose a method that has one: {having}"
            yield Problem(("search", name), f"none of the chosen methods ({names}) has a {name}", fix)


def _domain_problems(spec: SweepSpec, name: str) -> Iterator[Problem]:
    domain = spec.search[name]
    if isinstance(domain, (Uniform, LogUniform)):
        yield from _range_problems(spec, name, domain)
    seen: list[object] = []
    for path, value in values_with_paths(spec, name):
        if value in seen:
            yield Problem(path, "is listed twice", "list each value once")
        elif name != "method":
            yield from _value_problems(spec, name, value, path)
        seen.append(value)


def _range_problems(spec: SweepSpec, name: str, domain: Uniform | LogUniform) -> Iterator[Problem]:
    log = isinstance(domain, LogUniform)
    [(kind, (low, high))] = domain.model_dump().items()
    path: KeyPath = ("search", name, kind)
    if name in _CATEGORIES:
        rule = f"{name} cannot be a range, since every value needs its own preparation"
        yield Problem(path, rule, "use {choice: […]}")
        return
    if any(declared.choices for declared in _declarations(spec, name)):
        yield Problem(path, f"{name} cannot be a range: it has only some values", "use {choice: […]}")
        return
    if log and low <= 0:
        yield Problem((*path, 0), "must be > 0 in a log range", "give a small positive lower end, or use uniform")
    else:
        yield from _value_problems(spec, name, low, (*path, 0))
    if low >= high:
        equal = "give the one value without a range" if low == high else f"write [{high:g}, {low:g}]"
        yield Problem(path, f"the lower end {low:g} must be < the upper end {high:g}", equal)
    else:
        yield from _value_problems(spec, name, high, (*path, 1))


def _declarations(spec: SweepSpec, name: str) -> list[Hyperparameter]:
    """How the searched methods declare the hyper-parameter; how all others do if none of them has it."""
    of_all = [each for each in spec.methods.values() if name in each.hyperparameters]
    searched = [each for each in of_all if each.name in map(str, values_of(spec.search.get("method", "")))]
    return [each.hyperparameters[name] for each in searched or of_all]


def _value_problems(spec: SweepSpec, name: str, value: object, path: KeyPath) -> Iterator[Problem]:
    """Check the type and bounds that `Hyperparameters`, or the methods, declare."""
    for annotation in [_annotation(declared) for declared in _declarations(spec, name)] or [_field(name)]:
        if annotation.__origin__ is int and isinstance(value, float) and value.is_integer():
            value = int(value)  # bounds of a range are stored as floats
        try:
            TypeAdapter(annotation).validate_python(value, strict=True)
        except ValidationError as error:
            yield Problem(path, *rule_and_fix(error.errors(include_url=False)[0], path, []))
            return
    for declared in _declarations(spec, name):
        if (reason := declared.refusal(float(value))) is not None:  # type: ignore[arg-type]
            yield Problem(path, reason, "write one of these")
            return


def _field(name: str) -> Any:
    field = _FIELDS[name]
    return Annotated[field.annotation, *field.metadata] if field.metadata else Annotated[field.annotation, None]


def _annotation(declared: Hyperparameter) -> Any:
    """The type and bounds as pydantic has them."""
    bounds = Field(gt=declared.gt, ge=declared.ge, le=declared.le)
    return Annotated[int if declared.whole else float, bounds]


def _searcher_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Searches that would never end, and settings that would be ignored."""
    name, budget = spec.searcher.name, spec.budget
    if name != "grid" and not budget.limits:
        rule = f"is missing, and {name.replace('_', '-')} search does not end by itself"
        yield Problem(("budget", "trials"), rule, "add `trials: 16`, or give epochs, gpu_hours or wall_hours")
    if budget.gpu_hours is not None and not spec.trial.gpus_per_worker:
        rule = "can never be used up: trials hold no GPU (trial.gpus_per_worker is 0)"
        yield Problem(("budget", "gpu_hours"), rule, "give wall_hours, or let trials have GPUs")
    if spec.searcher.warm_start and name not in LEARNING_SEARCHERS:
        rule = f"{name} learns nothing from earlier sweeps"
        fix = f"remove it, or choose a searcher that does: {', '.join(LEARNING_SEARCHERS)}"
        yield Problem(("searcher", "warm_start"), rule, fix)


def _size_problems(spec: SweepSpec) -> Iterator[Problem]:
    if spec.searcher.name == "grid":
        for name, domain in spec.search.items():
            if isinstance(domain, (Uniform, LogUniform)):
                rule = "is a range, which a grid cannot enumerate"
                yield Problem(("search", name), rule, "use {choice: […]}, or searcher.name: random")
    count = SearchSpace(spec).combination_count
    if count > MAX_COMBINATIONS:
        rule = f"the choices have {count} combinations, at most {MAX_COMBINATIONS} are supported"
        yield Problem(("search",), rule, "list fewer values, or use uniform or loguniform ranges")
