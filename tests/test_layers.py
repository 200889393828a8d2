"""Imports go one way: a package imports only lower layers, and no two files import each other, however indirectly.

Imports inside functions and for type checkers count too. `docs/architecture.md` draws the same layers.
"""

from __future__ import annotations

import graphlib
import pkgutil
from pathlib import Path

from tests.test_architecture import LETHEON, ROOT, TRAINABLES, imports, python_files, run_python

LAYERS = {
    "trainables": [
        "trainables trainables.config trainables.runtime trainables.storage",
        "trainables.batching",
        "trainables.data trainables.methods trainables.model.cpu",
        "trainables.data.fictional trainables.evaluation.metrics trainables.model trainables.synthetic",
        "trainables.plugins",
        "trainables.self_check",
        "trainables.data.benchmarks trainables.evaluation.logs trainables.evaluation.scoring",
        "trainables.evaluation.decoding",
        "trainables.evaluation trainables.inputs",
        "trainables.training",
        "trainables.audit",
        "trainables.jobs",
        "trainables.ray_train",
    ],
    "letheon": [
        "letheon letheon.common letheon.methods",
        "letheon.testing",
        "letheon.journal",
        "letheon.pareto",
        "letheon.analysis letheon.checkpoints letheon.schedulers",
        "letheon.plots letheon.spec letheon.tracking.store",
        "letheon.cluster letheon.searchers",
        "letheon.search letheon.tracking letheon.workers",
        "letheon.doctor letheon.monitor letheon.preparation letheon.tracking.reader letheon.tune",
        "letheon.dashboard",
        "letheon.sweep",
        "letheon.api",
        "letheon.cli",
    ],
}
LEVEL = {package: i for layers in LAYERS.values() for i, names in enumerate(layers) for package in names.split()}
FLAT = {"__init__", "config", "ray_train"}  # all that lies outside of a package at either root
MOST_FILES = {"trainables.methods": 45}  # one file per method is the point
FEWEST, MOST = 3, 12


def module_of(file: Path) -> str:
    source = ROOT / "platform" if file.is_relative_to(LETHEON) else ROOT
    return ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(file): file for file in python_files(LETHEON, TRAINABLES)}


def package_of(module: str) -> str:
    if FILES[module].name == "__init__.py" or module.count(".") == 1:
        return module
    return module.rpartition(".")[0]


def first_party() -> dict[str, set[str]]:
    """Which modules each module imports."""
    found: dict[str, set[str]] = {module: set() for module in FILES}
    for one in imports(LETHEON, TRAINABLES):
        if one.inside("letheon", "trainables"):
            target = one.module if one.module in FILES else one.module.rpartition(".")[0]
            found[module_of(one.file)].add(target)
    return {module: targets - {module} for module, targets in found.items()}


def test_every_package_has_a_layer() -> None:
    assert {package_of(module) for module in FILES} == set(LEVEL)


def test_packages_import_lower_layers_only() -> None:
    upwards = []
    for module, targets in first_party().items():
        own = package_of(module)
        for target in targets:
            other = package_of(target)
            same_root = own.split(".")[0] == other.split(".")[0]
            if own != other and same_root and LEVEL[other] >= LEVEL[own]:
                upwards.append(f"{module} (layer {LEVEL[own]}) imports {target} (layer {LEVEL[other]})")
    assert upwards == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(first_party()).prepare()  # raises CycleError, which names the circle


def test_packages_have_a_readable_size() -> None:
    sizes: dict[str, int] = {}
    for module, file in FILES.items():
        if file.stem not in ("__init__", "__main__"):
            sizes[module.rpartition(".")[0]] = sizes.get(module.rpartition(".")[0], 0) + 1
    flat = {module.rpartition(".")[2] for module in FILES if module.count(".") == 1 and package_of(module) == module}
    assert flat - {name for package in LEVEL for name in package.split(".")} <= FLAT
    odd = {
        package: size
        for package, size in sizes.items()
        if package.count(".") and not FEWEST <= size <= MOST_FILES.get(package, MOST)
    }
    assert odd == {}


def test_trainables_import_without_ray() -> None:
    modules = [module.name for module in pkgutil.walk_packages([str(TRAINABLES)], "trainables.")]
    wanted = [name for name in modules if name != "trainables.ray_train"]
    run_python(f"import sys, importlib; sys.modules['ray'] = None; [importlib.import_module(n) for n in {wanted}]")
