"""Loads and writes sweep files, and describes them as a JSON schema."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from letheon.common.errors import SpecErrors
from letheon.common.files import write_atomically
from letheon.spec.model import NAMED_BASES, SweepSpec, folder_or_hub_id, local_path
from letheon.spec.shipped import find_sweep_file
from letheon.spec.source import KeyPath, Problem, Source, override, read_data, read_source, to_yaml
from trainables.config import Hyperparameters, PluginConfig
from trainables.methods import METHODS
from trainables.plugins.load import installed, known_methods, load
from trainables.plugins.sources import PluginError, content_of

_REMOVABLE = ("search", "objectives", "constraints")
"""Sections of which an override may remove keys: these have no default."""


PLUGINS = "plugins"
"""Folder of a sweep that has its own copies of the plug-ins that are files."""
SENT = "LETHEON_SENT_PLUGINS"
"""Environment variable of a job: the folder with the plug-ins that `letheon submit` sent along."""


def load_spec(sweep: str | Path, overrides: Sequence[str] = (), import_plugins: bool = False) -> SweepSpec:
    """Load and check a sweep file, given by path or shipped name, with `key.path=value` overrides.

    The override `search.beta=null` removes that key; likewise for objectives and constraints. Local paths become
    absolute, so that the sweep can be resumed from another folder.

    `import_plugins`: import and check the code that the file names. Only what runs a sweep does; what shows one never
    does, and then methods that are not built in are taken as they are.

    Raises:
        SpecErrors: with all errors of the file and the overrides.
    """
    file = find_sweep_file(sweep)
    return _checked(read_source(file), overrides, file.parent if import_plugins else None)


def spec_of(data: Mapping[str, Any], name: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """The same for the content of a sweep file as plain data, with its plug-ins imported.

    `name` stands for the file in messages; the paths of plug-ins begin at the working folder.
    """
    return _checked(read_data(data, name), overrides, Path.cwd())


def _checked(source: Source, overrides: Sequence[str], plugins: Path | None) -> SweepSpec:
    """`plugins`: the folder at which their paths begin; None: they are not imported."""
    from letheon.spec.validate import validate

    for text in overrides:
        override(source, text, _REMOVABLE)
    spec = validate(source) if plugins is None else validate(source, lambda spec: _imported(spec, source, plugins))
    if spec is None or source.problems:
        raise SpecErrors([source.describe(problem) for problem in source.problems])
    return _with_absolute_paths(spec)


def _imported(spec: SweepSpec, source: Source, folder: Path) -> SweepSpec:
    """The spec with the SHA-256 of each plug-in, imported and checked. Appends to `source.problems`.

    A searched method that is an entry point of an installed package brings its module along.
    """
    found: list[PluginConfig] = []
    for i, plugin in enumerate(spec.plugins):
        _add(found, _located(plugin, folder), source, (PLUGINS, i))
    spec = spec.model_copy(update={PLUGINS: tuple(found)})
    for name in spec.unknown_methods if spec.is_imported else ():
        entry = installed(name)
        if entry is not None and entry.name not in [plugin.name for plugin in found]:
            _add(found, entry, source, ("search", "method"))
    return spec.model_copy(update={PLUGINS: tuple(found)})


def _add(found: list[PluginConfig], plugin: PluginConfig, source: Source, path: KeyPath) -> None:
    """Import the plug-in and append it to `found`, or its error to `source.problems`."""
    try:
        if plugin.text is not None:
            raise PluginError(
                plugin.name, "holds code in the sweep file", "put the code into a .py file, and name that"
            )
        if plugin.name in [each.name for each in found]:
            raise PluginError(plugin.name, "is the name of two plug-ins", "rename one of them")
        _require_unchanged_source(plugin)
        plugin = load(plugin, check=True)
        if twice := set(known_methods(found)).intersection(known_methods([plugin])) - set(METHODS):
            raise PluginError(plugin.name, f"declares {min(twice)}, as another plug-in does", "rename one of them")
    except PluginError as error:
        has_line = error.place.rpartition(":")[2].isdecimal()
        rule = error.rule if has_line else f"{error.place} {error.rule}"
        source.problems.append(Problem(path, rule, error.fix, error.place if has_line else None))
    found.append(plugin)


def _located(plugin: PluginConfig, folder: Path) -> PluginConfig:
    """With the absolute path of its file: in the sweep file's folder, else the working folder, else that of `SENT`."""
    if plugin.file is None:
        return plugin
    path = Path(os.path.expanduser(plugin.file))
    folders = (folder, Path.cwd(), Path(os.environ.get(SENT, folder)))
    here = next((file for file in (each / path for each in folders) if os.path.isfile(file)), folder / path)
    return plugin.model_copy(update={"file": str(here.absolute())})


def _require_unchanged_source(plugin: PluginConfig) -> None:
    """Raises PluginError if the file of which a sweep has a copy has another content now."""
    if plugin.source is None or not os.path.isfile(plugin.source):
        return  # the sweep's copy is what counts
    if sha256(Path(plugin.source).read_bytes()).hexdigest() != plugin.sha256:
        rule = f"is a copy of {plugin.source}, which has changed since the sweep began"
        raise PluginError(str(plugin.file), rule, "restore that file, or start another sweep with it")


def with_copies(spec: SweepSpec, folder: Path) -> SweepSpec:
    """The spec whose plug-ins are copies in the sweep's folder, which are written here."""
    return spec.model_copy(update={PLUGINS: tuple(_copied(plugin, folder / PLUGINS) for plugin in spec.plugins)})


def _copied(plugin: PluginConfig, folder: Path) -> PluginConfig:
    if plugin.file is None:
        return plugin
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / plugin.name, content_of(plugin))
    original = plugin.source or plugin.file
    return plugin.model_copy(update={"file": str(folder / plugin.name), "source": original})


def with_texts(plugins: Iterable[PluginConfig]) -> tuple[PluginConfig, ...]:
    """The plug-ins with the content of their files, to be sent elsewhere. Raises PluginError if one cannot be read."""
    return tuple(
        plugin if plugin.file is None else plugin.model_copy(update={"text": content_of(plugin).decode()})
        for plugin in plugins
    )


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
    """All fields, defaults included, as plain data that `load_spec` accepts.

    Plug-ins that are files are named as they are found from the sweep's folder.
    """
    data = spec.model_dump(mode="json")
    for plugin in data.get(PLUGINS, ()):
        if os.path.isabs(plugin.get("file", "")):
            plugin["file"] = f"{PLUGINS}/{os.path.basename(plugin['file'])}"
    for name in spec.search:
        data["trial"].pop(name, None)  # a file must not both search and fix it
    return data


def dump_spec(spec: SweepSpec) -> str:
    """The resolved spec as YAML; loading it gives an equal spec."""
    return to_yaml(resolved(spec), default_flow_style=None, width=120)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a sweep file, for editors, with the names of all hyper-parameters and methods."""
    schema = SweepSpec.model_json_schema()
    domain: Mapping[str, Any] = schema["properties"]["search"]["additionalProperties"]
    own = [name for method in METHODS.values() for name in method.hyperparameters]
    names = dict.fromkeys(name for name in (*Hyperparameters.model_fields, *own) if name not in ("method", "seed"))
    methods = {"enum": sorted(METHODS)}
    choice = {"type": "object", "properties": {"choice": {"type": "array", "items": methods, "minItems": 1}}}
    schema["properties"]["search"] = {
        "title": "Search",
        "type": "object",
        "properties": {"method": {}, **{name: domain for name in names}},
        "required": [name for name, field in Hyperparameters.model_fields.items() if field.is_required()],
        "additionalProperties": domain,
    }
    built_in = {
        "properties": {
            "method": {"anyOf": [methods, {**choice, "required": ["choice"], "additionalProperties": False}]},
        },
        "propertyNames": {"enum": ["method", *names]},
    }
    schema["if"] = {"not": {"required": [PLUGINS]}}  # plug-ins have names that only their code tells
    schema["then"] = {"properties": {"search": built_in}}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
