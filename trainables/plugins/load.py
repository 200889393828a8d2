"""Imports plug-ins: each version once per process, and never one whose code differs from its SHA-256.

Errors name the plug-in's file and line. What is imported here was named by the user in a sweep file, or is an entry
point of a package that the user installed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, get_args

from trainables.config import Hyperparameters, PluginConfig
from trainables.methods import METHODS, Hyperparameter, Method, Reduction, Reference, RetainTerm
from trainables.methods.base import Alternative
from trainables.plugins.sources import PluginError, content_of, pinned

GROUP = "letheon.methods"
"""Entry points of installed packages: the name of a method, and the module that declares it."""

_NAME = re.compile("[a-z][a-z0-9_]{0,63}")
_LOADED: dict[tuple[str, str | None], tuple[Method, ...]] = {}
"""By name and SHA-256: a process that lives long may meet several versions of a plug-in."""
_CHECKED: set[tuple[str, str | None]] = set()
_IMPORTED: dict[str, str | None] = {}
"""SHA-256 of modules when this process imported them; Python imports a module once."""


def known_methods(plugins: Iterable[PluginConfig]) -> Mapping[str, Method]:
    """The built-in methods and those of plug-ins that this process has loaded. Imports nothing."""
    found = {each.name: each for plugin in plugins for each in _LOADED.get((plugin.name, plugin.sha256), ())}
    return {**METHODS, **found} if found else METHODS


def is_loaded(plugin: PluginConfig) -> bool:
    """Whether this process has imported this version of the plug-in."""
    return (plugin.name, plugin.sha256) in _LOADED


def methods_of(plugins: Iterable[PluginConfig]) -> Mapping[str, Method]:
    """The built-in methods and those of the plug-ins, which are imported if they are not yet. Raises PluginError."""
    return known_methods([plugin if is_loaded(plugin) else load(plugin) for plugin in plugins])


def load(plugin: PluginConfig, check: bool = False) -> PluginConfig:
    """Import the plug-in; returns it with its SHA-256. `check`: compute each loss on a tiny case, which loads torch.

    Raises PluginError if it has changed since it was hashed, does not import, or declares anything wrong.
    """
    plugin = pinned(plugin)
    key = plugin.name, plugin.sha256
    if key not in _LOADED:
        module = _module(plugin)
        _LOADED[key] = tuple(_declared(plugin, module))
    if check and key not in _CHECKED:
        for method in _LOADED[key]:
            _check(plugin, method)
        _CHECKED.add(key)
    return plugin


def installed(method: str) -> PluginConfig | None:
    """The module of the installed package that has this method as an entry point, not imported; None without one."""
    for found in importlib.metadata.entry_points(group=GROUP, name=method):
        return PluginConfig(module=found.module)
    return None


def installed_names() -> list[str]:
    """The methods that installed packages declare as entry points."""
    return sorted({found.name for found in importlib.metadata.entry_points(group=GROUP)})


def _module(plugin: PluginConfig) -> ModuleType:
    if plugin.module is not None:
        return _installed_module(plugin, plugin.module)
    file, content = str(plugin.file), content_of(plugin)
    module = ModuleType(f"letheon_plugin_{re.sub(r'[^A-Za-z0-9]', '_', plugin.name)}_{str(plugin.sha256)[:8]}")
    module.__file__ = file
    try:
        code = compile(content, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise PluginError(f"{file}:{error.lineno or 1}", f"is not valid Python ({error.msg})", "correct it") from error
    except ValueError as error:
        raise PluginError(f"{file}:1", f"is not valid Python ({error})", "save it as UTF-8 text") from error
    sys.modules[module.__name__] = module  # dataclasses look for their module there
    try:
        _run(plugin, lambda: exec(code, module.__dict__))
    except PluginError:
        del sys.modules[module.__name__]
        raise
    return module


def _installed_module(plugin: PluginConfig, name: str) -> ModuleType:
    if _IMPORTED.setdefault(name, plugin.sha256) != plugin.sha256:
        raise PluginError(f"module {name}", "has changed since this process imported it", "start the process again")
    found: ModuleType = _run(plugin, lambda: importlib.import_module(name))
    return found


def _run(plugin: PluginConfig, action: Callable[[], Any]) -> Any:
    """The action's result. Raises PluginError, with the line of the plug-in, for whatever it raises but Ctrl-C."""
    try:
        return action()
    except (Exception, SystemExit) as error:
        rule, fix = f"{type(error).__name__}: {str(error) or 'no message'}", "correct it"
        if isinstance(error, ModuleNotFoundError):
            fix = "install it here and on every node; a plug-in file stands alone, so make a package of several files"
        raise PluginError(_place(plugin, error), rule, fix) from error


def _place(plugin: PluginConfig, error: BaseException) -> str:
    """File and line of the innermost frame in the plug-in, else its name."""
    if plugin.file is None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"module {plugin.module} ({last.filename}:{last.lineno})"
    lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == plugin.file]
    return f"{plugin.file}:{lines[-1] if lines else 1}"


def _declared(plugin: PluginConfig, module: ModuleType) -> Iterator[Method]:
    """The methods at the module's top level, but for built-in ones that it imports. Raises PluginError."""
    found: dict[str, Method] = {}
    for variable, value in vars(module).items():
        if isinstance(value, Method) and not variable.startswith("_") and value is not METHODS.get(str(value.name)):
            place = _line_of(plugin, variable)
            for rule, fix in _problems(value):
                raise PluginError(place, rule, fix)
            if value.name in METHODS:
                raise PluginError(place, f"method {value.name} is built in", "choose another name")
            if found.setdefault(value.name, value) is not value:
                raise PluginError(place, f"method {value.name} is declared twice", "choose another name")
    if not found:
        rule = "declares no method"
        fix = "assign one at the top level, from letheon.methods: MY_NPO = Method(name=…, forget_loss=…, …)"
        raise PluginError(_line_of(plugin, None), rule, fix)
    yield from found.values()


def _line_of(plugin: PluginConfig, variable: str | None) -> str:
    """`file:line` of the last assignment to the variable at the top level of the file; its first line without one."""
    if plugin.file is None:
        return f"module {plugin.module}"
    lines = [
        node.lineno
        for node in ast.parse(content_of(plugin)).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == variable
    ]
    return f"{plugin.file}:{lines[-1] if lines else 1}"


def _problems(method: Method) -> Iterator[tuple[str, str]]:
    """What is wrong with a method's declarations (rule, fix): Python does not check the types of a dataclass."""
    given: Any = method
    if not isinstance(given.name, str) or not _NAME.fullmatch(given.name):
        yield f"the name {method.name!r} must be a-z, 0-9 and _, the first a letter", 'write for example "my_npo"'
    options = {"reduction": Reduction, "reference": Reference, "alternative": Alternative, "retain": RetainTerm}
    for name, literal in options.items():
        if getattr(method, name) not in (known := get_args(literal)):
            rule = f"{method.name}: {name} {getattr(method, name)!r} must be one of {', '.join(known)}"
            yield rule, "write one of these"
    for name in ("forget_loss", "statistic", "combine", "multiplier"):
        value = getattr(method, name)
        if not callable(value) and (name == "forget_loss" or value is not None):
            yield f"{method.name}: {name} {value!r} must be a function", "name a function, without calling it"
    if not isinstance(given.source, str) or not given.source:
        yield f"{method.name}: source {method.source!r} must be text", "say where the method comes from"
    for name, declared in given.hyperparameters.items():
        if not isinstance(declared, Hyperparameter):
            yield f"{method.name}: {name} {declared!r} must be a Hyperparameter", "write Hyperparameter(low=…, …)"
        if name in Hyperparameters.model_fields or not _NAME.fullmatch(str(name)):
            rule = f"{method.name}: a hyper-parameter of its own cannot be called {name!r}"
            yield rule, "choose another name: a-z, 0-9 and _, and none that every method has"


def _check(plugin: PluginConfig, method: Method) -> None:
    """Raises PluginError if a loss breaks the contract."""
    from trainables.plugins.contract import CHECKS, ContractBroken

    for check in CHECKS:
        try:
            check(method)
        except ContractBroken as error:
            rule, _, fix = str(error).partition("; ")
            code = getattr(method.forget_loss, "__code__", None)
            line = code.co_firstlineno if code is not None and code.co_filename == plugin.file else 1
            place = f"module {plugin.module}" if plugin.file is None else f"{plugin.file}:{line}"
            raise PluginError(place, f"{method.name}: {rule}", fix) from error
        except Exception as error:
            rule = f"{method.name}: {type(error).__name__}: {error}"
            raise PluginError(_place(plugin, error), rule, "correct the loss, or declare what it reads") from error
