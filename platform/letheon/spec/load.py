"""Finds, loads and writes sweep files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from letheon.common.errors import SpecErrors
from letheon.spec.model import _NAMED, NAMED_BASES, SweepSpec, local_folder
from letheon.spec.shipped import find_sweep_file
from letheon.spec.source import override, read_source, to_yaml


def load_spec(space: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Load and check a sweep file, with `key.path=value` overrides. Raises SpecErrors with every error there is.

    The override `search.beta=null` removes that key; likewise for objectives and constraints. Local paths come out
    absolute, so that the sweep can be resumed from another folder.
    """
    from letheon.spec.validate import validate

    source = read_source(find_sweep_file(space))
    for text in overrides:
        override(source, text, _NAMED)
    spec = validate(source)
    if spec is None or source.problems:
        raise SpecErrors([source.describe(problem) for problem in source.problems])
    return _with_absolute_paths(spec)


def _with_absolute_paths(spec: SweepSpec) -> SweepSpec:
    model, benchmark = spec.model, spec.benchmark
    base_is_folder = model.base not in NAMED_BASES and os.path.isdir(local_folder(model.base))
    model = model.model_copy(
        update={
            "base": str(local_folder(model.base)) if base_is_folder else model.base,
            "target": model.target and str(local_folder(model.target)),
            "retain": model.retain and {fraction: str(local_folder(path)) for fraction, path in model.retain.items()},
        }
    )
    files = ("path", "forget", "retain", "utility", "holdout")
    given = {name: getattr(benchmark, name) for name in files}
    benchmark = benchmark.model_copy(update={name: path and str(local_folder(path)) for name, path in given.items()})
    trial = spec.trial.model_copy(update={"refusals": spec.trial.refusals and str(local_folder(spec.trial.refusals))})
    return spec.model_copy(update={"model": model, "benchmark": benchmark, "trial": trial})


def resolved(spec: SweepSpec) -> dict[str, Any]:
    """Every field, defaults included, as plain data that `load_spec` takes."""
    data = spec.model_dump(mode="json")
    for name in spec.search:
        data["trial"].pop(name, None)  # the search decides; a file must not say both
    return data


def dump_spec(spec: SweepSpec) -> str:
    """The resolved sweep file as YAML; loading it gives an equal spec."""
    return to_yaml(resolved(spec), default_flow_style=None, width=120)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a sweep file, for editors: the hyper-parameters and methods by name."""
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
    json.dumps(schema)
    return schema
