"""Plug-ins are imported once per version, and what is wrong with one is said with its file, line and fix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainables.plugins.plugin_file import GOOD
from trainables.config import Hyperparameters, PluginConfig
from trainables.methods import METHODS
from trainables.plugins.load import installed, installed_names, is_loaded, known_methods, load, methods_of
from trainables.plugins.sources import MAX_BYTES, PluginError, pinned


def written(folder: Path, text: str | bytes, name: str = "my_npo.py") -> PluginConfig:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return PluginConfig(file=str(file))


def error_of(plugin: PluginConfig) -> PluginError:
    with pytest.raises(PluginError) as caught:
        load(plugin, check=True)
    assert caught.value.rule
    assert caught.value.fix
    return caught.value


def test_a_method_of_a_file_is_known_beside_the_built_in_ones(tmp_path: Path) -> None:
    plugin = written(tmp_path, GOOD)
    assert not is_loaded(plugin)
    assert known_methods([plugin]) is METHODS, "looking imports nothing"
    plugin = load(plugin, check=True)
    method = known_methods([plugin])["my_npo"]
    assert set(known_methods([plugin])) == {*METHODS, "my_npo"}
    assert "my_npo" not in METHODS
    hyper = Hyperparameters(method="my_npo", forget_fraction=0.1, learning_rate=1e-5, temperature=2.0)
    assert method.values(hyper) == {"beta": 0.1, "temperature": 2.0}


def test_every_version_is_its_own(tmp_path: Path) -> None:
    """A process that met an older version never takes it for the newer one."""
    old = load(written(tmp_path, GOOD))
    new = load(written(tmp_path, GOOD.replace("default=1.0", "default=2.0")))
    assert old.sha256 != new.sha256
    defaults = [methods_of([it])["my_npo"].hyperparameters["temperature"].default for it in (old, new)]
    assert defaults == [1.0, 2.0]
    with pytest.raises(PluginError, match=r"has changed: its SHA-256 was .*; restore it"):
        pinned(old)


def test_the_content_may_be_sent_along(tmp_path: Path) -> None:
    """As to a worker that does not have the file."""
    here = pinned(written(tmp_path, GOOD))
    sent = here.model_copy(update={"file": "/nowhere/sent.py", "text": GOOD})
    assert "my_npo" in methods_of([sent])
    with pytest.raises(PluginError, match="has changed"):
        load(sent.model_copy(update={"text": GOOD + "\n"}))


BROKEN: dict[str, tuple[str | bytes, int, str]] = {
    "not Python": (GOOD.replace("def loss(", "def loss"), 6, "not valid Python"),
    "indented wrongly": (GOOD.replace("    return", "  return"), 8, "not valid Python"),
    "null bytes": (b"x = 1\0", 1, "not valid Python"),
    "not UTF-8": (b"x = '\xff'\n", 1, "not valid Python"),
    "a missing name": (GOOD.replace("forget_loss=loss", "forget_loss=lose"), 13, "NameError: name 'lose'"),
    "a missing package": ("import no_such_package_here\n", 1, "ModuleNotFoundError"),
    "raises": ("x = 1\nraise RuntimeError\n", 2, "RuntimeError: no message"),
    "exits": ("import sys\n\nsys.exit(3)\n", 3, "SystemExit"),
    "no method": ('MY_NPO = {"name": "my_npo"}\n', 1, "declares no method"),
    "an unknown field": (GOOD.replace("reduction=", "reducer="), 11, "TypeError"),
    "a retain term without its weight": (
        GOOD.replace('"log_probs",', '"log_probs", retain="nll",'),
        11,
        "retain_weight",
    ),
    "built in": (GOOD.replace('"my_npo"', '"npo"'), 11, "method npo is built in"),
    "a bad name": (GOOD.replace('"my_npo"', '"My NPO"'), 11, "must be a-z"),
    "no name": (GOOD.replace('name="my_npo"', "name=None"), 11, "must be a-z"),
    "twice": (GOOD + "OTHER = Method('my_npo', loss, 'rows', 'a test')\n", 22, "declared twice"),
    "a reduction that is none": (GOOD.replace('"rows"', '"row"'), 11, "reduction 'row' must be one of rows"),
    "a reference that is none": (GOOD.replace('"log_probs"', '"probs"'), 11, "must be one of none, log_probs, logits"),
    "a loss that was called": (GOOD.replace("forget_loss=loss", "forget_loss=3"), 11, "must be a function"),
    "no source": (GOOD.replace('"a test"', '""'), 11, "must be text"),
    "a hyper-parameter of numbers": (GOOD.replace('"beta": BETA', '"beta": 0.1'), 11, "must be a Hyperparameter"),
    "a common hyper-parameter": (
        GOOD.replace('"temperature"', '"batch_size"'),
        11,
        "of its own cannot be called 'batch_size'",
    ),
    "a wrong range": (GOOD.replace("low=0.5", "low=5.0"), 19, "must lie in"),
    "an undeclared value": (GOOD.replace('values["beta"]', 'values["betta"]'), 8, "KeyError: 'betta'"),
    "an undeclared input": (GOOD.replace('reference="log_probs"', 'reference="none"'), 7, "None must be scores"),
    "NaN": (GOOD.replace("    return -(2", "    return 0 * float('nan') * -(2"), 6, "must be finite"),
    "a scalar": (GOOD.replace("softened)", "softened).mean()"), 6, "one per row"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_one_error_with_file_line_and_fix(what: str, tmp_path: Path) -> None:
    text, line, message = BROKEN[what]
    error = error_of(written(tmp_path, text))
    assert error.place == f"{tmp_path / 'my_npo.py'}:{line}", str(error)
    assert message in str(error)


@pytest.mark.parametrize("what", ["missing", "folder", "text", "large", "unreadable"])
def test_what_is_no_plugin_file_is_refused(what: str, tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    plugins = {
        "missing": PluginConfig(file=str(tmp_path / "none.py")),
        "folder": PluginConfig(file=str(tmp_path / "folder.py")),
        "text": written(tmp_path, GOOD, "my_npo.txt"),
        "large": written(tmp_path, b"#" * (MAX_BYTES + 1)),
        "unreadable": PluginConfig(file=f"{'x' * 5000}.py"),
    }
    rules = {"text": "is not a Python file", "large": "is larger than"}
    assert rules.get(what, "is not a file") in error_of(plugins[what]).rule


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text("()[]{}=,.:'\"x1 \n", max_size=3))
def test_a_damaged_file_is_an_error_or_a_method(tmp_path: Path, start: int, length: int, instead: str) -> None:
    """Whatever is cut out or put in, nothing but a PluginError comes out."""
    plugin = written(tmp_path, GOOD[:start] + instead + GOOD[start + length :])
    try:
        found = load(plugin, check=True)
    except PluginError as error:
        assert error.place.startswith(str(tmp_path / "my_npo.py"))
    else:
        assert len(known_methods([found])) > len(METHODS)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with a method, and its entry point."""
    site = tmp_path / "site"
    (site / "my_methods_for_tests").mkdir(parents=True)
    (site / "my_methods_for_tests" / "__init__.py").write_text("")
    (site / "my_methods_for_tests" / "npo.py").write_text(GOOD)
    (site / "mine-1.0.dist-info").mkdir()
    (site / "mine-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    entry = "[letheon.methods]\nmy_npo = my_methods_for_tests.npo:MY_NPO\n"
    (site / "mine-1.0.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.startswith("my_methods_for_tests")]:
        del sys.modules[name]


def test_a_method_of_an_installed_package_is_found_by_its_entry_point(package: Path) -> None:
    plugin = installed("my_npo")
    assert plugin == PluginConfig(module="my_methods_for_tests.npo")
    assert "my_methods_for_tests" not in sys.modules, "asking imports nothing"
    assert "my_npo" in installed_names()
    assert installed("nobodys") is None
    assert "my_npo" in methods_of([load(plugin, check=True)])


def test_a_package_that_changes_while_a_process_runs_is_refused(package: Path) -> None:
    name = "my_methods_for_tests.again"
    (package / "my_methods_for_tests" / "again.py").write_text(GOOD)
    first = load(PluginConfig(module=name))
    (package / "my_methods_for_tests" / "helper.py").write_text("x = 1\n")  # any file of the package counts
    with pytest.raises(PluginError, match="has changed: its SHA-256"):
        pinned(first)
    assert "start the process again" in error_of(PluginConfig(module=name)).fix


@pytest.mark.parametrize("name", ["no_such_module_here", "no_such.module", "sys", "json.nothing", "a b"])
def test_a_module_that_is_not_installed_is_refused(name: str) -> None:
    assert "install its package here and on every node" in error_of(PluginConfig(module=name)).fix


def test_writing_a_method_needs_neither_torch_nor_ray() -> None:
    code = "import sys, letheon.methods; print({'torch', 'ray', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
