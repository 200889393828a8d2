"""Sweep files with the user's data, or with options of another benchmark: all errors at once, with their lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letheon.common.errors import SpecErrors
from letheon.spec.load import load_spec
from letheon.spec.model import SweepSpec
from letheon.spec.rules_benchmark import require_data
from trainables.data.benchmarks.registry import load_benchmark

SPACE = """\
name: study
benchmark: {benchmark}
search:
  method: ga
  forget_fraction: {choice: {fractions}}
  learning_rate: 1.0e-4
budget: {trials: 2}
"""


def write(folder: Path, benchmark: str, fractions: str = "[0.5, 1.0]") -> Path:
    file = folder / "space.yaml"
    file.write_text(SPACE.replace("{benchmark}", benchmark).replace("{fractions}", fractions))
    return file


def errors_of(file: Path) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        require_data(load_spec(file))
    return [problem.replace(f"{file.parent}/", "") for problem in caught.value.problems]


def rows(path: Path, start: int, stop: int) -> Path:
    lines = (json.dumps({"question": f"Q {i}?", "answer": f"A {i}."}) for i in range(start, stop))
    path.write_text("\n".join(lines))
    return path


def test_the_example_in_the_docs_is_a_valid_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3] / "docs" / "examples")
    spec = load_spec("qa", ["benchmark.utility=utility.jsonl", "search.forget_fraction={choice: [0.5, 1.0]}"])
    require_data(spec)
    split = load_benchmark(spec.benchmark).split(0.5)
    assert {row.answer.count("plant 4") for row in split.forget} == {0} and len(split.forget) == 4
    assert split.evaluation["utility"].multiple_choice


def test_options_of_other_benchmarks_are_refused_together(tmp_path: Path) -> None:
    problems = errors_of(write(tmp_path, "{name: lume, people: 4, corpus: news}"))
    assert [problem.partition(";")[0] for problem in problems] == [
        "space.yaml:2: benchmark.people = 4: lume has no such option, only fictional, tofu",
        "space.yaml:2: benchmark.corpus = 'news': lume has no such option, only muse",
    ]


def test_files_that_are_missing_are_named_with_their_line(tmp_path: Path) -> None:
    problems = errors_of(write(tmp_path, "{name: qa, forget: none.jsonl, retain: nor this}"))
    assert [problem.partition(": is not a file")[0] for problem in problems] == [
        "space.yaml:2: benchmark.forget = 'none.jsonl'",
        "space.yaml:2: benchmark.retain = 'nor this'",
    ]
    assert "benchmark.forget" in errors_of(write(tmp_path, "{name: qa}"))[0]


def good(folder: Path) -> str:
    forget, retain = rows(folder / "f.jsonl", 0, 4), rows(folder / "r.jsonl", 4, 8)
    return f"{{name: qa, forget: {forget}, retain: {retain}}}"


def test_a_share_of_the_forget_file_may_be_all_of_it(tmp_path: Path) -> None:
    spec: SweepSpec = load_spec(write(tmp_path, good(tmp_path)))
    require_data(spec)
    assert spec.fractions == (0.5, 1.0)


def test_a_share_of_less_than_one_row_is_refused_when_the_data_are_read(tmp_path: Path) -> None:
    problems = errors_of(write(tmp_path, good(tmp_path), "[0.01, 1.0]"))
    assert len(problems) == 1 and "0.04 of the 4 groups" in problems[0] and "use 0.25 or more" in problems[0]


def test_all_of_fictional_or_tofu_cannot_be_forgotten(tmp_path: Path) -> None:
    problems = errors_of(write(tmp_path, "{name: fictional, people: 4}"))
    assert len(problems) == 1 and "space.yaml:5: search.forget_fraction.choice[1] = 1.0" in problems[0]


def test_all_mistakes_in_the_data_are_reported(tmp_path: Path) -> None:
    benchmark = good(tmp_path)
    (tmp_path / "f.jsonl").write_text('{"question": 1}\nnonsense\n')
    problems = errors_of(write(tmp_path, benchmark))
    assert [problem.partition(": ")[0] for problem in problems] == ["f.jsonl:1", "f.jsonl:2"]


def test_the_home_of_an_unknown_user_is_a_missing_folder() -> None:
    with pytest.raises(SpecErrors, match="~nobody-of-this-name/rows"):
        load_spec("quickstart", ["benchmark={name: tofu, path: ~nobody-of-this-name/rows}"])
