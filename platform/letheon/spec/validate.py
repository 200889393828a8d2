"""Checks a sweep file: first its shape, then the rules that span several fields. Collects problems, raises none.

A setting that fails is removed before the rest is checked, so that one mistake does not hide another.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from letheon.common.errors import SpecErrors, close_to, did_you_mean
from letheon.spec.model import NAMED_BASES, SweepSpec, local_path
from letheon.spec.rules_benchmark import benchmark_problems, synthetic_problems
from letheon.spec.rules_objectives import objective_problems
from letheon.spec.rules_search import search_problems
from letheon.spec.rules_trial import trial_problems
from letheon.spec.source import MISSING, KeyPath, Problem, Source, get, one_line, show
from letheon.spec.words import rule_and_fix
from trainables.data.prompt_templates import TEMPLATES

HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NOT_A_MODEL = ("is not a Hugging Face model folder", "give a folder with a config.json, or a hub id such as owner/name")
_INTERDEPENDENT = (("objectives",), ("constraints",), ("audit",))
"""Sections in which the rules of one setting depend on the others."""
_PLACEHOLDERS: dict[str, Any] = {"name": "unnamed", "search": {}}
"""Values of required settings that were removed."""


def validate(source: Source, prepare: Callable[[SweepSpec], SweepSpec] = lambda spec: spec) -> SweepSpec | None:
    """The spec without the settings that were refused; None if nothing is left. Appends to `source.problems`.

    `prepare`: is given the spec when its shape is right, before the rules that span several settings.
    """
    if not isinstance(source.data, dict):
        if not source.problems:
            source.problems.append(Problem((), "is not a mapping of keys", "begin with `name: …`"))
        return None
    spec, broken = _shape(source)
    if spec is not None:
        spec = prepare(spec)
        found = [*_own_problems(spec), *trial_problems(spec), *objective_problems(spec), *synthetic_problems(spec)]
        found += [*search_problems(spec, broken), *benchmark_problems(spec, broken)]
        source.problems += [problem for problem in found if not _covered(problem.path, broken)]
    source.problems.sort(key=lambda problem: _line(source, problem))
    return spec


def _line(source: Source, problem: Problem) -> tuple[bool, int]:
    place = problem.place or source.place(problem.path)
    if place.startswith("--set "):
        return True, 0  # the text after its last colon is the user's and may be a number of any length
    line = place.rpartition(":")[2]
    return False, int(line) if line.isdecimal() else 0


def _covered(path: KeyPath, broken: set[KeyPath]) -> bool:
    """Whether a problem at `path` may follow from the removal of `path`, a setting around it, or one inside it."""
    within = any(path[:length] in broken for length in range(len(path) + 1))
    return within or (path[:1] in _INTERDEPENDENT and any(known[: len(path)] == path for known in broken))


def _deepest(problems: list[Problem]) -> list[Problem]:
    """Drop the problems of a list or mapping that has a problem inside: the inner one is more precise."""
    around = {problem.path[:length] for problem in problems for length in range(len(problem.path))}
    return [problem for problem in problems if problem.path not in around]


def _shape(source: Source) -> tuple[SweepSpec | None, set[KeyPath]]:
    """Validate, remove what is wrong, and repeat. Also returns the paths that were removed."""
    tree = copy.deepcopy(source.data)
    broken = set(source.refused)
    for path in broken:
        _remove(tree, path)
    for _ in range(len(SweepSpec.model_fields)):
        try:
            return SweepSpec.model_validate_json(json.dumps(tree), strict=True), broken
        except ValidationError as error:
            problems = _deepest(list(_explain(error, source.data)))
            source.problems += [problem for problem in problems if not _covered(problem.path, broken)]
            broken |= {_remove(tree, problem.path) for problem in problems}
    return None, broken


def _remove(tree: object, path: KeyPath) -> KeyPath:
    """Remove the setting that `path` belongs to (a list or a domain as a whole) and return its path."""
    whole = next((i for i, key in enumerate(path) if isinstance(key, int)), len(path))
    path = path[: min(whole, 2 if path[:1] == ("search",) else whole)]
    parent = get(tree, path[:-1])
    if path and isinstance(parent, dict):
        parent.pop(path[-1], None)
        if len(path) == 1 and path[0] in _PLACEHOLDERS:
            parent[path[0]] = _PLACEHOLDERS[str(path[0])]
    return path


def _explain(error: ValidationError, data: object) -> Iterator[Problem]:
    """One problem per path in the data; pydantic reports one per member of a union."""
    seen: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path, last = _path_in(data, detail["loc"]), detail["loc"][-1]
        if detail["type"] == "missing" and isinstance(last, str):
            path = (*path, last)
        keys = _keys_at(path[:-1]) if detail["type"] == "extra_forbidden" else []
        rule, fix = rule_and_fix(dict(detail), path, keys)
        if detail["type"] == "value_error" and get(data, (*path, rule.split()[0])) is not MISSING:
            path = (*path, rule.split()[0])  # a rule over several fields begins with the one to change: `low 3: …`
            rule = rule.partition(": ")[2] or rule
        if path not in seen:
            seen.add(path)
            yield Problem(path, rule, fix)


def _path_in(data: object, loc: tuple[int | str, ...]) -> KeyPath:
    """Pydantic's location without keys that are not in the data, such as names of union members."""
    path: KeyPath = ()
    for key in loc:
        if get(data, (*path, key)) is not MISSING:
            path = (*path, key)
    return path


def _keys_at(path: KeyPath) -> list[str]:
    """The keys of the model at `path`; in a mapping, any key leads to the model of its values."""
    model: type[BaseModel] = SweepSpec
    mapping = False
    for key in path:
        if mapping or isinstance(key, int):
            mapping = False
            continue
        annotation = model.model_fields[str(key)].annotation
        model = next(_models_in(annotation))
        mapping = get_origin(annotation) is dict
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for member in get_args(annotation):
        yield from _models_in(member)


def name_problem(name: str) -> str | None:
    """Why a sweep cannot have this name (`rule; fix`), or None. It becomes a folder, a tag and part of aliases."""
    if NAME.fullmatch(name):
        return None
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:64]
    example = f"write {slug}" if NAME.fullmatch(slug) else "write for example tofu-npo"
    return f"a name is 1 to 64 of a-z, 0-9, - and _, the first a letter or digit; {example}"


def require_name(name: str) -> None:
    """Raises SpecErrors if a sweep cannot have this name."""
    refusal = name_problem(name)
    if refusal is not None:
        raise SpecErrors([one_line(f"--name {show(name)}: {refusal}")])


def _own_problems(spec: SweepSpec) -> Iterator[Problem]:
    refusal = name_problem(spec.name)
    if refusal is not None:
        yield Problem(("name",), *refusal.split("; ", 1))
    if len(set(spec.seeds)) < len(spec.seeds):
        yield Problem(("seeds",), "a seed is listed twice", "list each seed once")
    yield from _model_problems(spec)


def _model_problems(spec: SweepSpec) -> Iterator[Problem]:
    model = spec.model
    yield from _base_problems(model.base)
    if "size" in model.model_fields_set and (model.base != "tiny" or model.target is not None):
        rule = f"only the base tiny has a size to choose, and this sweep starts from {model.target or model.base}"
        yield Problem(("model", "size"), rule, "remove it, or set model.base: tiny")
    if model.template is not None and model.template not in TEMPLATES:
        fix = did_you_mean(model.template, TEMPLATES)
        yield Problem(("model", "template"), f"must be one of {', '.join(TEMPLATES)}, or null", fix)
    given: dict[KeyPath, str | None] = {("target",): model.target}
    given |= {("retain", f"{fraction:g}"): path for fraction, path in (model.retain or {}).items()}
    for key, folder in given.items():
        on_hub = folder is not None and "/" in folder and HUB_ID.fullmatch(folder) and not os.path.isdir(folder)
        if folder is not None and not on_hub and not os.path.isfile(local_path(folder) / "config.json"):
            yield Problem(("model", *key), *NOT_A_MODEL)
    for fraction, file in (model.retain_log or {}).items():
        key = ("model", "retain_log", f"{fraction:g}")
        if not os.path.isfile(local_path(file)):
            yield Problem(key, "is not a file", "give an evaluation log, such as TOFU_EVAL.json")
        if fraction in (model.retain or {}):
            yield Problem(key, "model.retain has a model for this fraction too", "keep one of the two")
    if model.retain_log and spec.audit:
        fix = "set audit: false, or give model.retain instead"
        yield Problem(("model", "retain_log"), "an audit attacks the retain model too, and a log has none", fix)


def _base_problems(base: str) -> Iterator[Problem]:
    """The base must be an existing folder, a hub id (`owner/name`, or old ones such as `gpt2`) or a named base."""
    path: KeyPath = ("model", "base")
    if base in NAMED_BASES:
        return
    if os.path.isdir(local_path(base)):
        if not os.path.isfile(local_path(base) / "config.json"):
            yield Problem(path, *NOT_A_MODEL)
    elif not HUB_ID.fullmatch(base):
        fix = f"give a folder that exists, a hub id such as owner/name, or one of {', '.join(NAMED_BASES)}"
        yield Problem(path, "is not a folder", fix)
    elif "/" not in base and (near := close_to(base, NAMED_BASES)):
        yield Problem(path, "is neither a known base nor a folder", did_you_mean(near, [near]))
