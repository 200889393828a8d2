"""A sweep in Python is the sweep of a file: the same rules, the same errors, the same result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import letheon
from letheon.common.errors import SweepFileNotFound
from letheon.spec.load import load_spec, resolved

GOOD: dict[str, Any] = {
    "name": "small",
    "search": {
        "method": {"choice": ["ga", "npo"]},
        "forget_fraction": 0.1,
        "learning_rate": {"loguniform": [1e-5, 1e-3]},
        "beta": 0.1,
    },
    "budget": {"trials": 3},
}


def from_file(tmp_path: Path, sections: Mapping[str, Any], **more: Any) -> letheon.Sweep:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sections))
    return letheon.Sweep.from_file(file, **more)


def test_keywords_make_the_sweep_of_the_file() -> None:
    spec = load_spec("quickstart")
    assert letheon.Sweep(**resolved(spec)).spec == letheon.Sweep.from_file("quickstart").spec == spec


def test_a_sweep_is_the_one_of_its_own_yaml(tmp_path: Path) -> None:
    sweep = letheon.Sweep(**GOOD)
    (tmp_path / "sweep.yaml").write_text(sweep.to_yaml())
    assert letheon.Sweep.from_file(tmp_path / "sweep.yaml").spec == sweep.spec
    assert repr(sweep) == "Sweep('small': 3 trials, 1 forget fraction)"


def test_tuples_paths_and_numbers_of_numpy_are_plain_data(tmp_path: Path) -> None:
    rates = (np.float64(1e-5), np.float32(0.5))
    search = {**GOOD["search"], "learning_rate": {"loguniform": rates}, "forget_fraction": np.float64(0.1)}
    sweep = letheon.Sweep(**{**GOOD, "search": search, "seeds": np.arange(2)})
    assert sweep.spec.search["learning_rate"].bounds == (1e-5, 0.5)  # type: ignore[union-attr]
    assert sweep.spec.seeds == (0, 1)
    (tmp_path / "refusals.txt").write_text("no\n")
    with_path = letheon.Sweep(**GOOD, trial={"refusals": tmp_path / "refusals.txt"}, set={"search.method": "dpo"})
    assert with_path.spec.trial.refusals == str(tmp_path / "refusals.txt")


BAD: list[dict[str, Any]] = [
    {},
    {**GOOD, "serach": {}},
    {**GOOD, "name": "A b"},
    {**GOOD, "search": {**GOOD["search"], "method": "nop", "learning_rate": {"loguniform": [0, 1]}}},
    {**GOOD, "budget": {"trials": 0}, "scheduler": {"max_epochs": 4, "grace_epochs": 9}},
    {**GOOD, "model": {"base": "https://user:hunter2@host/x"}},
    {**GOOD, "seeds": [True]},
    {**GOOD, "benchmark": {"name": "fictional", "people": "20"}},
]


@pytest.mark.parametrize("sections", BAD)
def test_refusals_are_those_of_a_file_without_its_lines(sections: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(letheon.SpecErrors) as in_file:
        from_file(tmp_path, sections)
    with pytest.raises(letheon.SpecErrors) as in_python:
        letheon.Sweep(**sections)
    assert sorted(without_place(in_python.value)) == sorted(without_place(in_file.value))
    assert all(line.startswith("letheon.Sweep: ") for line in in_python.value.problems)
    assert "hunter2" not in str(in_python.value)


def without_place(error: letheon.SpecErrors) -> list[str]:
    return [line.partition(": ")[2] for line in error.lines]


@pytest.mark.parametrize("value", [object(), {1, 2}, {("a", "b"): 1}])
def test_what_yaml_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(letheon.SpecErrors, match="text, numbers, lists and mappings"):
        letheon.Sweep(**GOOD, trial=value)
    with pytest.raises(letheon.SpecErrors, match=r"--set trial.batch_size: .*text, numbers, lists and mappings"):
        letheon.Sweep(**GOOD, set={"trial.batch_size": value})


def test_a_value_that_occurs_twice_is_no_alias() -> None:
    both = {"uniform": [0.1, 0.2]}
    sweep = letheon.Sweep(**{**GOOD, "search": {**GOOD["search"], "beta": both, "learning_rate": both}})
    assert sweep.spec.search["beta"] == sweep.spec.search["learning_rate"]


def test_set_changes_and_removes(tmp_path: Path) -> None:
    changes = {"budget.trials": 8, "search.beta": None, "search.method": "ga", "model.base": "tiny"}
    for sweep in (letheon.Sweep(**GOOD, set=changes), from_file(tmp_path, GOOD, set=changes)):
        assert sweep.spec.budget.trials == 8
        assert set(sweep.spec.search) == {"method", "forget_fraction", "learning_rate"}
    with pytest.raises(letheon.SpecErrors, match=r"--set budget.trials=-1: budget.trials = -1"):
        letheon.Sweep(**GOOD, set={"budget.trials": -1})


def test_a_file_that_is_missing_is_reported_with_the_closest() -> None:
    with pytest.raises(SweepFileNotFound, match="did you mean 'quickstart'"):
        letheon.Sweep.from_file("quikstart")


def test_data_that_cannot_be_read_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(letheon.LetheonError):
        letheon.Sweep.from_file("tofu-tiny", set={"benchmark.path": str(tmp_path)})


def test_a_plan_has_the_trials_as_a_frame_and_writes_nothing(tmp_path: Path) -> None:
    plan = letheon.Sweep.from_file("quickstart").plan(tmp_path)
    frame = plan.frame()
    assert list(frame.index) == [f"t{number:03d}" for number in range(16)]
    assert frame.loc["t000"].dropna().to_dict() == {
        name: value for name, value in plan.trials[0]["config"].items() if value is not None
    }
    assert list(tmp_path.iterdir()) == []
    for shown in ("t015", "slots", "to prepare"):
        assert shown in plan._repr_html_()


def test_the_root_is_given_or_of_the_environment_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from letheon.api.arguments import root_folder

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LETHEON_ROOT", raising=False)
    assert root_folder(None) == tmp_path / ".letheon"
    monkeypatch.setenv("LETHEON_ROOT", "there")
    assert root_folder(None) == tmp_path / "there"
    assert root_folder("here") == tmp_path / "here"
    with pytest.raises(letheon.LetheonError, match="must be a folder"):
        letheon.Sweep(**GOOD).start(root="s3://bucket/x")
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_taken_or_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    folder = tmp_path / "sweeps" / "small"
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(letheon.Sweep(**GOOD).to_yaml())
    with pytest.raises(letheon.LetheonError, match="'small' exists"):
        letheon.Sweep(**GOOD).start(root=tmp_path, name="small")
    with pytest.raises(letheon.SpecErrors, match="a name is"):
        letheon.Sweep(**GOOD).start(root=tmp_path, name="../small")
    assert [path.name for path in tmp_path.rglob("*")] == ["sweeps", "small", "spec.yaml"]


def test_it_shows_itself_and_no_text_is_markup() -> None:
    sweep = letheon.Sweep(**{**GOOD, "model": {"base": "tiny", "revision": "<script>"}})
    page = sweep._repr_html_()
    assert "small" in page and "{choice: [ga, npo]}" in page
    assert "<script>" not in page and "&lt;script&gt;" in page
