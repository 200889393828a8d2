"""The rules that keep the house in order: who may import whom, what loads when, and how long a piece may be.

Imports are read from the syntax tree, so a rule also covers code that no test runs. What really loads is checked in
fresh interpreters. The rules know folders and module names, nothing of what the modules do.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LETHEON = ROOT / "platform" / "letheon"
TRAINABLES = ROOT / "trainables"
SEARCH_SPACES = ROOT / "search_spaces"

HEAVY = {"torch", "transformers", "deepspeed", "datasets"}
MAX_FUNCTION_LINES = 100
MAX_FILE_LINES = 450


@dataclass(frozen=True)
class Import:
    """One imported name: `from a import b` counts as `a.b`, since `b` may be a module."""

    file: Path
    line: int
    module: str
    at_import: bool  # runs when the file is imported: neither inside a function nor for type checkers only

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"

    def inside(self, *packages: str) -> bool:
        return any(self.module == package or self.module.startswith(package + ".") for package in packages)


def python_files(*folders: Path) -> list[Path]:
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def syntax(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.level == 0:  # a relative import stays inside its own package
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_below(node: ast.AST, file: Path, at_import: bool = True) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from (Import(file, child.lineno, name, at_import) for name in names(child))
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or for_type_checkers(child)
            yield from imports_below(child, file, at_import and not later)


def imports(*folders: Path) -> list[Import]:
    return [found for file in python_files(*folders) for found in imports_below(syntax(file), file)]


def run_python(code: str, folder: Path = ROOT) -> str:
    """Output of a fresh interpreter with both source roots on its path."""
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after importing the modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(run_python(code).splitlines()[-1].split())


# ---- what is used of Ray


RAY_INTERNAL = ("ray._", "ray.train.v2", "ray.tune.execution")


def private_ray(file: Path) -> Iterator[str]:
    """Imports of Ray's internal modules, private attributes of the name `ray`, and private arguments of `ray.init`."""
    for found in imports_below(syntax(file), file):
        if found.inside("ray") and (found.module.startswith(RAY_INTERNAL) or "._" in found.module):
            yield str(found)
    for node in ast.walk(syntax(file)):
        if isinstance(node, ast.Attribute) and re.fullmatch(r"ray\.([a-z]\w*\.)*_(?!_)\w+", ast.unparse(node)):
            yield f"{file.relative_to(ROOT)}:{node.lineno} uses {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ray.init":
            private = [word.arg for word in node.keywords if word.arg and word.arg.startswith("_")]
            yield from (f"{file.relative_to(ROOT)}:{node.lineno} passes {word} to ray.init" for word in private)


def test_private_names_of_ray_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from ray._private import node\nimport ray.train.v2.api\n"
        "def f():\n    ray.init(_temp_dir='x')\n    ray.a._b.c\n    ray.get(self._a)\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "code.py"
    file.write_text(code)
    found = [line.partition(" ")[2] for line in private_ray(file)]
    assert found == [
        "imports ray._private.node",
        "imports ray.train.v2.api",
        "passes _temp_dir to ray.init",
        "uses ray.a._b",
    ]


def test_only_public_names_of_ray_are_used() -> None:
    files = [*python_files(LETHEON, TRAINABLES, ROOT / "benchmarks", ROOT / "tests")]
    exempt = {ROOT / "tests" / "deploy" / "test_cluster_files.py"}  # checks a cluster file offline, as `ray up` would
    assert not [found for file in files if file not in exempt for found in private_ray(file)]


# ---- who imports whom


def test_the_rules_see_imports_in_every_place(tmp_path: Path) -> None:
    code = (
        "import a\nfrom b import c\nfrom . import d\n"
        "if TYPE_CHECKING:\n    import e\n"
        "def f():\n    import g.h\n"
        "class K:\n    import i\n"
        "try:\n    import j\nexcept ImportError:\n    pass\n"
    )
    file = tmp_path / "code.py"
    file.write_text(code)
    found = {(one.module, one.at_import) for one in imports_below(syntax(file), file)}
    assert found == {("a", True), ("b.c", True), ("e", False), ("g.h", False), ("i", True), ("j", True)}


def test_search_spaces_hold_data_only() -> None:
    files = [file for file in SEARCH_SPACES.rglob("*") if file.is_file()]
    assert [file.name for file in files if file.suffix not in {".yaml", ".md"}] == []
    assert [file.name for file in files if os.access(file, os.X_OK)] == []
    for file in SEARCH_SPACES.glob("*.yaml"):
        yaml.safe_load(file.read_text(encoding="utf-8"))  # refuses tags that would make objects


def test_the_package_ships_the_sweep_files_of_the_top_folder() -> None:
    assert (LETHEON / "search_spaces").resolve() == SEARCH_SPACES


def test_trainables_know_nothing_of_the_platform() -> None:
    assert [str(one) for one in imports(TRAINABLES) if one.inside("letheon", "ray.tune", "mlflow", "optuna")] == []


def test_ray_is_in_one_file_of_trainables() -> None:
    assert {one.file.name for one in imports(TRAINABLES) if one.inside("ray")} == {"ray_train.py"}


def test_the_platform_imports_no_heavy_package_at_module_level() -> None:
    assert [str(one) for one in imports(LETHEON) if one.at_import and one.inside(*HEAVY)] == []


def test_only_tracking_imports_mlflow() -> None:
    users = [one for one in imports(LETHEON) if one.inside("mlflow")]
    assert [str(one) for one in users if one.file.relative_to(LETHEON).parts[0].partition(".")[0] != "tracking"] == []


def test_every_third_party_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    declared = {normal(re.split(r"[\[<>=~! ;]", line)[0]) for line in project["dependencies"] + extras}
    own = sys.stdlib_module_names | {"letheon", "trainables"}
    distributions = importlib.metadata.packages_distributions()
    missing = []
    for one in imports(LETHEON, TRAINABLES):
        package = one.module.partition(".")[0]
        if package not in own and not declared & {normal(name) for name in distributions.get(package, [package])}:
            missing.append(str(one))
    assert missing == []


def normal(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


# ---- what loads when


def test_the_command_loads_nothing_heavy() -> None:
    assert loaded_by("letheon.cli") & (HEAVY | {"ray", "mlflow", "matplotlib", "scipy", "pandas"}) == set()


def test_a_sweep_file_is_validated_without_heavy_packages() -> None:
    modules = [
        "letheon.spec.model",
        "letheon.sweep.plan",
        "trainables.config",
        "trainables.methods",
        "trainables.data.benchmarks.registry",
    ]
    assert loaded_by(*modules) & (HEAVY | {"ray", "mlflow"}) == set()


def test_no_module_of_the_platform_loads_torch() -> None:
    modules = [module.name for module in pkgutil.walk_packages([str(LETHEON)], "letheon.")]
    assert loaded_by(*(name for name in modules if not name.endswith("__main__"))) & {"torch", "deepspeed"} == set()


# ---- `platform/` is a source root, not a package


def test_platform_is_not_a_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()


@pytest.mark.parametrize("folder", [".", "platform", "tests", "search_spaces"])
def test_the_standard_library_platform_is_found_from(folder: str) -> None:
    version = run_python("import platform, letheon, trainables; print(platform.python_version())", ROOT / folder)
    assert version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.usefixtures("ray_session")
def test_the_standard_library_platform_is_found_in_a_ray_worker() -> None:
    import ray

    @ray.remote(num_cpus=0)
    def version() -> str:
        import platform

        import letheon
        import trainables

        assert letheon.__file__ and trainables.__file__
        return platform.python_version()

    assert ray.get(version.remote()) == ".".join(map(str, sys.version_info[:3]))


# ---- size


def test_functions_fit_and_files_stay_short() -> None:
    too_long = []
    for file in python_files(LETHEON, TRAINABLES, ROOT / "tests", ROOT / "benchmarks"):
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE_LINES:
            too_long.append(f"{file.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(syntax(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MAX_FUNCTION_LINES:
                    too_long.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {size} lines")
    assert too_long == []
