"""Loads and writes sweep files, and describes them as a JSON schema."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from letheon.common.errors import SpecErrors
from letheon.spec.model import NAMED_BASES, SweepSpec, folder_or_hub_id, local_path
from letheon.spec.shipped import find_sweep_file
from letheon.spec.source import Source, override, read_data, read_source, to_yaml

_REMOVABLE = ("search", "objectives", "constraints")
"""Sections of which an override may remove keys: these have no default."""


def load_spec(sweep: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Load and check a sweep file, given by path or shipped name, with `key.path=value` overrides.

    The override `search.beta=null` removes that key; likewise for objectives and constraints. Local paths become
    absolute, so that the sweep can be resumed from another folder.

    Raises:
        SpecErrors: with all errors of the file and the overrides.
    """
    return _checked(read_source(find_sweep_file(sweep)), overrides)


def spec_of(data: Mapping[str, Any], name: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """The same for the content of a sweep file as plain data; `name` stands for the file in messages."""
    return _checked(read_data(data, name), overrides)


def _checked(source: Source, overrides: Sequence[str]) -> SweepSpec:
    from letheon.spec.validate import validate

    for text in overrides:
        override(source, text, _REMOVABLE)
    spec = validate(source)
    if spec is None or source.problems:
        raise SpecErrors([source.describe(problem) for problem in source.problems])
    return _with_absolute_paths(spec)


def _with_absolute_paths(spec: SweepSpec) -> SweepSpec:
    model, benchmark = spec.model, spec.benchmark
    base_is_folder = model.base not in NAMED_BASES and os.path.isdir(local_path(model.base))
    model = model.model_copy(
        update={
            "base": str(local_path(model.base)) if base_is_folder else model.base,
            "target": model.target and folder_or_hub_id(model.target),
            "retain": model.retain and {one: folder_or_hub_id(path) for one, path in model.retain.items()},
            "retain_log": model.retain_log and {one: str(local_path(path)) for one, path in model.retain_log.items()},
        }
    )
    files = ("path", "forget", "retain", "utility", "holdout")
    paths = {name: getattr(benchmark, name) for name in files}
    benchmark = benchmark.model_copy(update={name: path and str(local_path(path)) for name, path in paths.items()})
    trial = spec.trial.model_copy(update={"refusals": spec.trial.refusals and str(local_path(spec.trial.refusals))})
    return spec.model_copy(update={"model": model, "benchmark": benchmark, "trial": trial})


def resolved(spec: SweepSpec) -> dict[str, Any]:
    """All fields, defaults included, as plain data that `load_spec` accepts."""
    data = spec.model_dump(mode="json")
    for name in spec.search:
        data["trial"].pop(name, None)  # a file must not both search and fix it
    return data


def dump_spec(spec: SweepSpec) -> str:
    """The resolved spec as YAML; loading it gives an equal spec."""
    return to_yaml(resolved(spec), default_flow_style=None, width=120)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a sweep file, for editors, with the names of all hyper-parameters and methods."""
    from trainables.config import Hyperparameters
    from trainables.methods import METHODS

    schema = SweepSpec.model_json_schema()
    domain: Mapping[str, Any] = schema["properties"]["search"]["additionalProperties"]
    names = [name for name in Hyperparameters.model_fields if name not in ("method", "seed")]
    methods = {"enum": sorted(METHODS)}
    choice = {"type": "object", "properties": {"choice": {"type": "array", "items": methods, "minItems": 1}}}
    schema["properties"]["search"] = {
        "title": "Search",
        "type": "object",
        "properties": {
            "method": {"anyOf": [methods, {**choice, "required": ["choice"], "additionalProperties": False}]},
            **{name: domain for name in names},
        },
        "required": [name for name, field in Hyperparameters.model_fields.items() if field.is_required()],
        "additionalProperties": False,
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
