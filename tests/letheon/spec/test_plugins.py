"""`plugins:` in a sweep file: hashed, searched like built-in methods, copied, checked again, and not run by a look."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from letheon.common.errors import SpecErrors
from letheon.monitor.watch import spec_facts
from letheon.searchers.registry import searcher_of
from letheon.spec.load import dump_spec, load_spec, with_copies, with_texts
from letheon.spec.model import SweepSpec
from letheon.spec.search_space import SearchSpace, trial_count
from letheon.sweep.plan import make_plan
from tests.letheon.small_sweep import sample
from tests.letheon.spec.sweep_file import write
from tests.trainables.plugins.plugin_file import GOOD

SPACE = """\
name: study
plugins: [my_npo.py]
search:
  method: {choice: [npo_rt, my_npo]}
  forget_fraction: 0.1
  learning_rate: 1e-4
  beta: {uniform: [0.05, 0.5]}
  temperature: {loguniform: [0.5, 4]}
budget: {trials: 8}
"""


def space(folder: Path, text: str = SPACE, code: str = GOOD) -> Path:
    (folder / "my_npo.py").write_text(code)
    return write(folder, text)


def errors_of(file: Path, *overrides: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        load_spec(file, overrides, import_plugins=True)
    return list(caught.value.problems)


def test_a_plugins_hyper_parameters_are_searched_like_built_in_ones(tmp_path: Path) -> None:
    spec = load_spec(space(tmp_path), import_plugins=True)
    hypers = [sample(spec, index) for index in range(8)]
    own = {hyper.method: set(hyper.own) for hyper in hypers}
    assert own == {"npo_rt": {"beta", "retain_weight"}, "my_npo": {"beta", "temperature"}}
    temperatures = [hyper.own["temperature"] for hyper in hypers if hyper.method == "my_npo"]
    assert len(set(temperatures)) == len(temperatures)
    assert all(0.5 <= each <= 4 for each in temperatures)


@pytest.mark.parametrize("name", ["random", "quasi_random", "surrogate", "optuna"])
def test_every_searcher_proposes_them(name: str, tmp_path: Path) -> None:
    spec = load_spec(space(tmp_path), [f"searcher.name={name}", "searcher.seed=3"], import_plugins=True)
    plan = make_plan(spec, tmp_path, [{"CPU": 8.0}])
    configs = [trial["config"] for trial in plan.trials]
    assert {config["method"] for config in configs} == {"npo_rt", "my_npo"}
    for config in configs:
        assert ("temperature" in config) == (config["method"] == "my_npo")
    assert "temperature" in plan.searched
    assert searcher_of(spec, SearchSpace(spec)) is not None


def test_a_searcher_learns_from_them(tmp_path: Path) -> None:
    """The place of a value in its range, and NaN for a method without it."""
    from letheon.searchers.encoding import Encoding

    spec = load_spec(space(tmp_path), import_plugins=True)
    both: list[dict[str, Any]] = [{"method": "my_npo", "temperature": 2.0}, {"method": "npo_rt"}]
    found = Encoding(SearchSpace(spec)).inputs(both).values["temperature"]
    assert found[0] == pytest.approx(2 / 3)
    assert found[1] != found[1]


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("search.temperature=0", ("search.temperature = 0", "must be > 0")),
        ("search.temperature=hot", ("search.temperature", "is not a number")),
        ("search.temprature=1", ("unknown key", "did you mean 'temperature'?")),
        ("search.method=my_nop", ("unknown method", "did you mean 'my_npo'?")),
        ("search.method=npo_rt", ("none of the chosen methods (npo_rt) has a temperature", "that has one: my_npo")),
        ("plugins=[none.py]", ("none.py is not a file", "give the path of a .py file")),
        ("plugins=[no_such_module_here]", ("is not a Python module that is installed", "install its package")),
        ("plugins=[my_npo.py, my_npo.py]", ("is the name of two plug-ins", "rename one")),
        ("plugins=[{file: my_npo.py, sha256: abc}]", ("has changed: its SHA-256 was abc", "restore it")),
        ("plugins=[{file: my_npo.py, txt: x}]", ("plugins[0].txt", "unknown key")),
        ("plugins=[{file: x.py, text: 'x = 1'}]", ("holds code in the sweep file", "put the code into a .py file")),
        ("plugins=[{}]", ("plugins[0]", "names a file and a module, or neither")),
        ("plugins=my_npo.py", ("plugins", "is not a list")),
        ("benchmark={name: synthetic}", ("is of a plug-in", "choose one of those")),
    ],
)
def test_mistakes_are_told_with_their_fix(override: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    found = errors_of(space(tmp_path), override)
    assert [line for line in found if all(part in line for part in parts)], found
    if override.startswith("plugins"):
        assert len(found) == 1, "a method that the plug-in would have is not reported as unknown"


def test_an_error_in_the_code_has_its_own_file_and_line(tmp_path: Path) -> None:
    file = space(tmp_path, code=GOOD.replace("    return -(2", "    return float('nan') * -(2"))
    [error] = errors_of(file)
    assert error.startswith(f"{tmp_path / 'my_npo.py'}:6: plugins[0]")
    assert error.endswith("it must be finite")


def test_whole_numbers_and_choices_are_kept(tmp_path: Path) -> None:
    code = GOOD.replace(
        "Hyperparameter(low=0.5, high=4.0, log=True, default=1.0, gt=0, about=",
        "Hyperparameter.one_of(1, 2, 4, default=1, about=",
    )
    file = space(tmp_path, code=code)
    for wrong, message in (
        ("{uniform: [1, 4]}", "cannot be a range"),
        ("3", "must be one of 1, 2, 4"),
        ("1.5", "whole"),
    ):
        assert any(message in line for line in errors_of(file, f"search.temperature={wrong}")), wrong
    spec = load_spec(file, ["search.temperature={choice: [1, 4]}"], import_plugins=True)
    found = {sample(spec, i).own.get("temperature") for i in range(8)} - {None}
    assert found == {1, 4}
    assert all(isinstance(each, int) for each in found)


def test_a_plugin_is_found_beside_the_sweep_file_or_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("spaces", "work", "sent"):
        (tmp_path / name).mkdir()
    file = space(tmp_path / "spaces")
    monkeypatch.chdir(tmp_path / "work")
    assert load_spec(file, import_plugins=True).plugins[0].file == str(tmp_path / "spaces" / "my_npo.py")
    (tmp_path / "spaces" / "my_npo.py").rename(tmp_path / "work" / "my_npo.py")
    assert load_spec(file, import_plugins=True).plugins[0].file == str(tmp_path / "work" / "my_npo.py")
    (tmp_path / "work" / "my_npo.py").rename(tmp_path / "sent" / "my_npo.py")
    monkeypatch.setenv("LETHEON_SENT_PLUGINS", str(tmp_path / "sent"))
    assert load_spec(file, import_plugins=True).plugins[0].file == str(tmp_path / "sent" / "my_npo.py")


def started(tmp_path: Path) -> tuple[SweepSpec, Path]:
    """A sweep's file and its folder, as `letheon sweep` writes them."""
    folder = tmp_path / "root" / "sweeps" / "study"
    folder.mkdir(parents=True)
    spec = with_copies(load_spec(space(tmp_path), import_plugins=True), folder)
    (folder / "spec.yaml").write_text(dump_spec(spec))
    return spec, folder


def test_a_sweep_has_its_own_copy_and_goes_on_with_it_anywhere(tmp_path: Path) -> None:
    spec, folder = started(tmp_path)
    assert spec.plugins[0].file == str(folder / "plugins" / "my_npo.py")
    assert spec.plugins[0].source == str(tmp_path / "my_npo.py")
    assert load_spec(folder / "spec.yaml", import_plugins=True) == spec
    (tmp_path / "my_npo.py").unlink()  # the user's file may go
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    again = load_spec(moved / "spec.yaml", import_plugins=True)
    assert again.plugins[0].file == str(moved / "plugins" / "my_npo.py")
    assert dump_spec(again) == (moved / "spec.yaml").read_text()
    assert [each.text for each in with_texts(again.plugins)] == [GOOD]


@pytest.mark.parametrize("what", ["copy edited", "copy missing", "original edited"])
def test_a_changed_plugin_is_one_error_on_resume(what: str, tmp_path: Path) -> None:
    _, folder = started(tmp_path)
    copy, original = folder / "plugins" / "my_npo.py", tmp_path / "my_npo.py"
    if what == "copy missing":
        copy.unlink()
        original.write_text("")  # else its content would be the one that is sought
    else:
        (original if what == "original edited" else copy).write_text(GOOD + "\n")
    [error] = errors_of(folder / "spec.yaml")
    fixes = {
        "copy edited": "has changed: its SHA-256 was",
        "copy missing": "has changed since the sweep began",
        "original edited": f"{original}, which has changed since the sweep began; restore that file",
    }
    assert fixes[what] in error
    assert str(copy) in error


def test_a_missing_copy_can_be_restored_from_the_original(tmp_path: Path) -> None:
    _, folder = started(tmp_path)
    (folder / "plugins" / "my_npo.py").unlink()
    [error] = errors_of(folder / "spec.yaml")
    assert error.endswith(f"restore it from {tmp_path / 'my_npo.py'}")


def test_a_look_at_a_sweep_runs_none_of_its_code(tmp_path: Path) -> None:
    """Its own folder, and what a tracking store sends, are read by the same function."""
    canary = tmp_path / "ran"
    code = GOOD.replace("def loss", f"open({str(canary)!r}, 'w').close()\n\n\ndef loss")
    file = space(tmp_path, SPACE.replace("budget:", "searcher: {name: random}\nbudget:"), code)
    spec = load_spec(file)
    assert spec.unknown_methods == ["my_npo"]
    assert not spec.is_imported
    assert (trial_count(spec), spec_facts(spec).planned, spec_facts(spec).by_stratum) == (8, 8, {})
    assert load_spec(write(tmp_path, dump_spec(spec))) == spec
    assert not canary.exists()
    load_spec(file, import_plugins=True)
    assert canary.exists()


def test_a_method_of_an_installed_package_needs_no_plugins_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "theirs-1.0.dist-info").mkdir(parents=True)
    (site / "theirs_for_tests.py").write_text(GOOD.replace('"my_npo"', '"their_npo"'))
    (site / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    entry = "[letheon.methods]\ntheir_npo = theirs_for_tests:MY_NPO\n"
    (site / "theirs-1.0.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(site))
    file = write(tmp_path, SPACE.replace("plugins: [my_npo.py]\n", "").replace("my_npo", "their_npo"))
    try:
        spec = load_spec(file, import_plugins=True)
        assert [(each.module, len(each.sha256 or "")) for each in spec.plugins] == [("theirs_for_tests", 64)]
        assert load_spec(write(tmp_path, dump_spec(spec)), import_plugins=True) == spec
    finally:
        sys.modules.pop("theirs_for_tests", None)
