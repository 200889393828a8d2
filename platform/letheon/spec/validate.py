"""Checks a sweep file: its shape first, then the rules that span several fields. Collects every problem, raises none.

A setting that fails is removed before the rest is checked, so one mistake hides no other. No YAML syntax in here.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from letheon.common.errors import SpecErrors, close_to, did_you_mean
from letheon.spec.model import NAMED_BASES, SweepSpec, local_folder
from letheon.spec.rules_benchmark import benchmark_problems, synthetic_problems
from letheon.spec.rules_objectives import objective_problems
from letheon.spec.rules_search import search_problems
from letheon.spec.rules_trial import trial_problems
from letheon.spec.source import MISSING, KeyPath, Problem, Source, get, one_line, show
from letheon.spec.words import rule_and_fix
from trainables.data.prompt_templates import TEMPLATES

HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SMALL = (("objectives",), ("constraints",), ("audit",))
"""Sections whose own rules depend on each of their settings."""
_STAND_INS: dict[str, Any] = {"name": "unnamed", "search": {}}


def validate(source: Source) -> SweepSpec | None:
    """The spec as far as it can be understood, or None; problems are appended to `source.problems`."""
    if not isinstance(source.data, dict):
        if not source.problems:
            source.problems.append(Problem((), "does not hold a mapping of keys", "begin with `name: …`"))
        return None
    spec, broken = _shape(source)
    if spec is not None:
        found = [*_rules(spec), *trial_problems(spec), *objective_problems(spec)]
        found += [*search_problems(spec, broken), *benchmark_problems(spec, broken)]
        found += synthetic_problems(spec)
        source.problems += [problem for problem in found if not _covered(problem.path, broken)]
    source.problems.sort(key=lambda problem: _line(source, problem))
    return spec


def _line(source: Source, problem: Problem) -> tuple[bool, int]:
    place = problem.place or source.place(problem.path)
    if place.startswith("--set "):
        return True, 0  # what stands behind its last colon is the user's, and may be a number of any length
    line = place.rpartition(":")[2]
    return False, int(line) if line.isdecimal() else 0


def _covered(path: KeyPath, broken: set[KeyPath]) -> bool:
    """Whether a complaint about `path` may come from a setting that was removed: `path` itself, around or inside it."""
    within = any(path[:length] in broken for length in range(len(path) + 1))
    return within or (path[:1] in _SMALL and any(known[: len(path)] == path for known in broken))


def _deepest(problems: list[Problem]) -> list[Problem]:
    """Without the problems of a list or mapping that has a problem inside: the inner one says more."""
    around = {problem.path[:length] for problem in problems for length in range(len(problem.path))}
    return [problem for problem in problems if problem.path not in around]


def _shape(source: Source) -> tuple[SweepSpec | None, set[KeyPath]]:
    """Validate, remove what is wrong, validate the rest. Also returns the paths that were removed."""
    tree = copy.deepcopy(source.data)
    broken = set(source.refused)
    for path in broken:
        _take_out(tree, path)
    for _ in range(len(SweepSpec.model_fields)):
        try:
            return SweepSpec.model_validate_json(json.dumps(tree), strict=True), broken
        except ValidationError as error:
            problems = _deepest(list(_explain(error, source.data)))
            source.problems += [problem for problem in problems if not _covered(problem.path, broken)]
            broken |= {_take_out(tree, problem.path) for problem in problems}
    return None, broken


def _take_out(tree: object, path: KeyPath) -> KeyPath:
    """Remove the setting that `path` belongs to (a list or a domain goes whole); returns its path."""
    whole = next((i for i, key in enumerate(path) if isinstance(key, int)), len(path))
    path = path[: min(whole, 2 if path[:1] == ("search",) else whole)]
    parent = get(tree, path[:-1])
    if path and isinstance(parent, dict):
        parent.pop(path[-1], None)
        if len(path) == 1 and path[0] in _STAND_INS:
            parent[path[0]] = _STAND_INS[str(path[0])]
    return path


def _explain(error: ValidationError, data: object) -> Iterator[Problem]:
    """One problem per place in the data; pydantic reports one per member of a union."""
    seen: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path, last = _path_in(data, detail["loc"]), detail["loc"][-1]
        if detail["type"] == "missing" and isinstance(last, str):
            path = (*path, last)
        rule, fix = _rule_and_fix(dict(detail), path)
        if detail["type"] == "value_error" and get(data, (*path, rule.split()[0])) is not MISSING:
            path = (*path, rule.split()[0])  # a rule over several fields begins with the one to be changed: `low 3: …`
            rule = rule.partition(": ")[2] or rule
        if path not in seen:
            seen.add(path)
            yield Problem(path, rule, fix)


def _path_in(data: object, loc: tuple[int | str, ...]) -> KeyPath:
    """Pydantic's location without the names of union members and other keys that are not in the data."""
    path: KeyPath = ()
    for key in loc:
        if get(data, (*path, key)) is not MISSING:
            path = (*path, key)
    return path


def _rule_and_fix(detail: Mapping[str, Any], path: KeyPath) -> tuple[str, str]:
    if detail["type"] == "value_error":
        rule, _, fix = str(detail["ctx"]["error"]).partition("; ")
        return rule, fix or "correct this value"
    return rule_and_fix(detail, path, _keys_at(path[:-1]) if detail["type"] == "extra_forbidden" else [])


def _keys_at(path: KeyPath) -> list[str]:
    """The keys that the model at `path` has; below a mapping every key leads to the model of its values."""
    model: type[BaseModel] = SweepSpec
    mapping = False
    for key in path:
        if mapping:
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


def check_name(name: str) -> str | None:
    """Why a sweep cannot have this name (rule; fix), or None: it becomes a folder, a tag and part of aliases."""
    if NAME.fullmatch(name):
        return None
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:64]
    example = f"write {slug}" if NAME.fullmatch(slug) else "write for example tofu-npo"
    return f"a name is 1 to 64 of a-z, 0-9, - and _, the first a letter or digit; {example}"


def require_name(name: str) -> None:
    """Raises SpecErrors if a sweep cannot have this name."""
    refusal = check_name(name)
    if refusal is not None:
        raise SpecErrors([one_line(f"--name {show(name)}: {refusal}")])


def _rules(spec: SweepSpec) -> Iterator[Problem]:
    refusal = check_name(spec.name)
    if refusal is not None:
        yield Problem(("name",), *refusal.split("; ", 1))
    if len(set(spec.seeds)) < len(spec.seeds):
        yield Problem(("seeds",), "a seed is listed twice", "list each seed once")
    yield from _model_rules(spec)


def _model_rules(spec: SweepSpec) -> Iterator[Problem]:
    model = spec.model
    yield from _base_rules(model.base)
    if model.template is not None and model.template not in TEMPLATES:
        fix = did_you_mean(model.template, TEMPLATES)
        yield Problem(("model", "template"), f"must be one of {', '.join(TEMPLATES)}, or null", fix)
    given: dict[KeyPath, str | None] = {("target",): model.target}
    given |= {("retain", f"{fraction:g}"): path for fraction, path in (model.retain or {}).items()}
    for key, folder in given.items():
        if folder is not None and not os.path.isfile(local_folder(folder) / "config.json"):
            yield Problem(
                ("model", *key), "is not a folder of a Hugging Face model", "give a folder with a config.json"
            )


def _base_rules(base: str) -> Iterator[Problem]:
    """A folder that is there, `owner/name` of the hub, or one of our names; `gpt2`, without an owner, is of the hub."""
    path: KeyPath = ("model", "base")
    if base in NAMED_BASES:
        return
    if os.path.isdir(local_folder(base)):
        if not os.path.isfile(local_folder(base) / "config.json"):
            yield Problem(path, "is not a folder of a Hugging Face model", "give a folder with a config.json")
    elif not HUB_ID.fullmatch(base):
        fix = f"give a folder that exists, a hub id such as owner/name, or one of {', '.join(NAMED_BASES)}"
        yield Problem(path, "is not a folder", fix)
    elif "/" not in base and (near := close_to(base, NAMED_BASES)):
        yield Problem(path, "is neither a known base nor a folder", did_you_mean(near, [near]))
