"""Reading YAML with places: unreadable files, words of YAML 1.2, and `key.path=value` overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from letheon.spec.load import dump_spec, load_spec
from tests.letheon.spec.sweep_file import GOOD, errors_of, write


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(b"name: \xff\xfe", "not UTF-8"), (b"# " + b"x" * 1_000_001, "larger than"), (b"name: \x00", "not valid YAML")],
)
def test_files_that_are_not_text_are_refused(content: bytes, fragment: str, tmp_path: Path) -> None:
    (problem,) = errors_of(write(tmp_path, content))
    assert fragment in problem


def test_hostile_text_cannot_forge_lines_of_output(tmp_path: Path) -> None:
    problems = errors_of(write(tmp_path, GOOD + '"x\\nspace.yaml:1: \\e[31mfine": 1\n'))
    assert all(problem.isprintable() for problem in problems)


def test_overrides_win_and_create_missing_sections(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    spec = load_spec(file, ["trial.workers=2", "search.beta=0.3", "search.method.choice=[npo]", "model.template="])
    assert spec.trial.workers == 2
    assert spec.search["beta"] == 0.3
    assert spec.search["method"].model_dump() == {"choice": ("npo",)}  # type: ignore[union-attr]
    assert spec.model.template is None


@pytest.mark.parametrize(
    ("override", "fragments"),
    [
        ("serach.beta=1", ("unknown key", "did you mean 'search'?")),
        ("search.bta=1", ("unknown key", "did you mean 'beta'?")),
        ("search.beta=-1", ("search.beta = -1", "must be > 0")),
        ("budget.trials=.inf", ("is not a whole number",)),
        ("search.bta=null", ("search.bta: cannot be removed", "did you mean 'beta'?")),
        ("name.first=x", ("has no keys", "name=…")),
        ("budget.trials", ("is not key.path=value",)),
        ("=3", ("is not key.path=value",)),
        ("search.beta={choice: [1", ("not valid YAML",)),
        ("search.beta=!!float 1", ("YAML tag",)),
    ],
)
def test_an_error_in_an_override_names_the_override(override: str, fragments: tuple[str, ...], tmp_path: Path) -> None:
    (problem, *rest) = errors_of(write(tmp_path, GOOD), override)
    assert problem.startswith(f"--set {override}: ")
    assert all(fragment in problem for fragment in fragments), problem
    assert rest == []


def test_null_removes_a_searched_key_and_is_a_value_elsewhere(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "constraints: {forget_rouge: {max: 0.4}}\n")
    spec = load_spec(file, ["search.method=ga", "search.beta=null", "constraints.forget_rouge=", "model.template=null"])
    assert set(spec.search) == {"method", "forget_fraction", "learning_rate"}
    assert (spec.constraints, spec.model.template) == ({}, None)
    alone = [f"search.{name}=null" for name in ("retain_weight", "beta", "beta1", "beta2")]
    (problem,) = errors_of(file, "search.method=ga")
    assert "remove it (--set search.beta=null does)" in problem
    assert "beta1" not in load_spec("quickstart", ["search.method=ga", *alone]).search


def test_unquoted_words_are_read_as_in_yaml_1_2(tmp_path: Path) -> None:
    trial = "trial: {compile: on, deepspeed: {a: 5e8, b: 010, c: 1_000, d: 1:30, e: no, f: '1e5', g: 2020-01-01}}\n"
    spec = load_spec(write(tmp_path, GOOD.replace("1.0e-5, 1.0e-3", "1e-5, 1e-3") + trial))
    assert spec.search["learning_rate"].model_dump() == {"loguniform": (1e-5, 1e-3)}  # type: ignore[union-attr]
    values = {"a": 5e8, "b": "010", "c": 1000, "d": "1:30", "e": False, "f": "1e5", "g": "2020-01-01"}
    assert (spec.trial.compile, spec.trial.deepspeed) == ("on", values)
    assert load_spec(write(tmp_path, dump_spec(spec))) == spec


def test_an_override_can_correct_an_invalid_file(tmp_path: Path) -> None:
    assert load_spec(write(tmp_path, GOOD.replace("trials: 8", "trials: 0")), ["budget.trials=3"]).budget.trials == 3
