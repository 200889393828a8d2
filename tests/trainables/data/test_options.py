"""Options that a benchmark does not have are refused; refusals are built in or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import config_problems, load_benchmark
from trainables.data.options import OPTIONS
from trainables.data.refusals import REFUSALS, load_refusals

VALUES: dict[str, Any] = {
    "path": "x",
    "revision": "x",
    "people": 4,
    "seed": 1,
    "evaluation_rows": 4,
    "corpus": "news",
    "tasks": ("Task1",),
    "forget": "f",
    "retain": "r",
    "utility": "u",
    "holdout": "h",
    "alpha": 1.0,
}
NEEDED = {"qa": {"forget": "f", "retain": "r"}, "text": {"forget": "f", "retain": "r"}}


def test_every_option_belongs_to_a_benchmark() -> None:
    options = {option for mine in OPTIONS.values() for option in mine}
    assert options == set(VALUES) == set(BenchmarkConfig.model_fields) - {"name"}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("option", VALUES)
def test_an_option_is_accepted_or_refused_by_name(name: Any, option: str) -> None:
    config = BenchmarkConfig(name=name, **{**NEEDED.get(name, {}), option: VALUES[option]})
    problems = config_problems(config)
    if option in OPTIONS[name]:
        assert problems == []
    else:
        assert problems[0].startswith(f"{option}={VALUES[option]!r}: {name} has no such option")
        with pytest.raises(ValueError, match="has no such option"):
            load_benchmark(config)


def test_every_problem_is_reported() -> None:
    config = BenchmarkConfig(name="qa", people=3, corpus="news")
    options = [problem.partition("=")[0] for problem in config_problems(config)]
    assert options == ["people", "corpus", "forget", "retain"]
    assert "at least one task" in config_problems(BenchmarkConfig(name="lume", tasks=()))[0]
    assert "only the hub has revisions" in config_problems(BenchmarkConfig(name="muse", path="x", revision="y"))[0]


def test_the_built_in_refusals_are_a_hundred_sentences() -> None:
    assert len(set(REFUSALS)) == len(REFUSALS) == 100
    assert all(text[0].isupper() and text.endswith(".") and text == text.strip() for text in REFUSALS)
    assert load_refusals(None) == REFUSALS


def test_refusals_of_the_user(tmp_path: Path) -> None:
    file = tmp_path / "no.txt"
    file.write_text("\ufeff No. \r\n\nNever.", encoding="utf-8")
    assert load_refusals(str(file)) == ("No.", "Never.")


@pytest.mark.parametrize(("content", "rule"), [(b"\n \n", "no refusals"), (b"a\n\xff", "line 2: not UTF-8")])
def test_a_bad_file_of_refusals(content: bytes, rule: str, tmp_path: Path) -> None:
    file = tmp_path / "no.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"refusals='.*no\.txt'.*{rule}"):
        load_refusals(str(file))
    with pytest.raises(ValueError, match=r"refusals=.*not found; must be a file; correct the path"):
        load_refusals(str(tmp_path / "none.txt"))
