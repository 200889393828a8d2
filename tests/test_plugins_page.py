"""What `docs/plugins.md` and `examples/plugins` show works as it stands."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from letheon.cli import app
from letheon.cli.methods import new_method
from letheon.common.errors import LetheonError
from letheon.spec.load import load_spec
from letheon.sweep.plan import make_plan
from letheon.testing import MethodContract
from tests.test_architecture import ROOT
from trainables.config import PluginConfig
from trainables.plugins.load import known_methods, load

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "plugins"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def keep_contract(contract: type[MethodContract]) -> None:
    for name in dir(contract):
        if name.startswith("test_"):
            getattr(contract(), name)()


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files can be imported, as pytest makes that of a test; nothing stays imported."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_the_pages_method_keeps_its_contract_and_is_searched(importable: Path) -> None:
    method, test = blocks("python")
    (importable / "my_npo.py").write_text(method)
    (importable / "test_page_method.py").write_text(test)
    keep_contract(importlib.import_module("test_page_method").TestMyNpo)
    [space] = blocks("yaml")
    (importable / "mine.yaml").write_text(space)
    spec = load_spec(importable / "mine.yaml", ["searcher.name=random"], import_plugins=True)
    plan = make_plan(spec, importable, [{"CPU": 8.0}])
    assert any("temperature" in trial["config"] for trial in plan.trials)


def test_the_pages_error_is_the_one_that_is_shown(importable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(importable)
    method, _ = blocks("python")
    scalar = method.replace('values["temperature"])', 'values["temperature"]).mean()')
    (importable / "my_npo.py").write_text(scalar)
    (importable / "mine.yaml").write_text(blocks("yaml")[0])
    with pytest.raises(LetheonError) as caught:
        load_spec("mine.yaml", import_plugins=True)
    [shown] = blocks("text")
    assert [line.replace(f"{importable}/", "") for line in caught.value.lines] == shown.splitlines()


def test_the_pages_first_command_writes_a_method_that_keeps_its_contract(
    importable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(importable)
    assert "letheon new method my_npo" in blocks("console")[0]
    done = CliRunner().invoke(app, ["new", "method", "my_npo_of_new"])
    assert done.exit_code == 0, done.output
    assert len((importable / "my_npo_of_new.py").read_text().splitlines()) <= 25
    keep_contract(importlib.import_module("test_my_npo_of_new").TestMyNpoOfNew)
    load(PluginConfig(file=str(importable / "my_npo_of_new.py")), check=True)
    shown = CliRunner().invoke(app, ["methods", "my_npo_of_new.py"])
    assert "my_npo_of_new: What my_npo_of_new is, in a line" in shown.output
    assert "retain_weight" in shown.output


@pytest.mark.parametrize("name", ["npo", "My-NPO", "class", ""])
def test_a_name_that_no_method_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LetheonError, match=r"is built in|a method's name is"):
        new_method(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("mine")
    with pytest.raises(LetheonError, match=r"test_mine\.py: exists already"):
        new_method("mine", tmp_path)
    assert (tmp_path / "test_mine.py").read_text() == "mine"
    assert not (tmp_path / "mine.py").exists()


def test_the_example_adds_a_method_in_40_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len((EXAMPLE / "dual_objective.py").read_text().splitlines()) < 40
    monkeypatch.syspath_prepend(str(EXAMPLE))
    module = importlib.import_module("test_dual_objective")
    keep_contract(module.TestDualObjective)
    module.test_at_the_reference_the_loss_is_the_refusals_and_that_of_npo()
    spec = load_spec(EXAMPLE / "sweep.yaml", import_plugins=True)
    assert "dual_objective" in known_methods(spec.plugins)
