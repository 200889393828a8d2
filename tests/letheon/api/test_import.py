"""`import letheon` is light, and its stub for type checkers names what it offers."""

from __future__ import annotations

import ast
from pathlib import Path

import letheon
from tests.test_architecture import HEAVY, LETHEON, loaded_by, run_python

PLACES = vars(letheon)["_PLACES"]
LAZY = HEAVY | {"ray", "mlflow", "pandas", "matplotlib", "scipy", "optuna"}
THIRD_PARTY = {"numpy", "pydantic", "rich", "yaml", "typer"}


def test_importing_letheon_loads_nothing_else() -> None:
    assert loaded_by("letheon") & (LAZY | THIRD_PARTY | {"trainables"}) == set()


def test_neither_its_names_nor_a_checked_and_planned_sweep_load_anything_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, letheon\n"
        f"[getattr(letheon, name) for name in {sorted(PLACES)}]\n"
        f"letheon.Sweep.from_file('quickstart').plan({str(tmp_path)!r})._repr_html_()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    assert set(run_python(code).split()) & LAZY == set()


def test_the_stub_has_every_name_and_its_place() -> None:
    stub = ast.parse((LETHEON / "__init__.pyi").read_text(encoding="utf-8"))
    places = {
        str(alias.asname): f"{node.module}:{alias.name}"
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert places == PLACES
    assert set(places) <= set(dir(letheon))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(letheon, "swep")
