"""LUME from files: a small pair of the same shape, made here, and the real one if present."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.data.jsonl import DataErrors
from trainables.data.rows import Benchmark

REAL = Path(os.environ.get("LETHEON_LUME", Path(__file__).parents[4] / ".." / "shared" / "data" / "lume"))
real = pytest.mark.skipif(not (REAL / "forget.jsonl").is_file(), reason="no LUME here: set LETHEON_LUME to its folder")

Fields = dict[str, Any]


def document(name: str, task: str, questions: int) -> list[Fields]:
    completion = {"id": f"{name}sc1", "input": f"Once {name} went", "output": "away for good.", "task": task}
    asked = (
        {"id": f"{name}qa{i}", "input": f"Who is {name} {i}?", "output": f"{name} {i}", "task": task}
        for i in range(questions)
    )
    return [completion, *asked]


def write(folder: Path, name: str, rows: list[Fields]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    forget = [document("Ann", "Task1", 1), document("Bea", "Task2", 5), document("Cid", "Task3", 1)]
    write(tmp_path, "forget", [row for rows in forget for row in rows])
    write(tmp_path, "retain", document("Dan", "Task1", 1) + document("Eve", "Task2", 5))
    return tmp_path


def load(folder: Path, **options: Any) -> Benchmark:
    return load_benchmark(BenchmarkConfig(name="lume", path=str(folder), **options))


def test_documents_occur_as_raw_text_and_as_questions(folder: Path) -> None:
    split = load(folder).split(1.0)
    assert [row.raw for row in split.forget] == [True, False, True, False, False, False, False, False, True, False]
    first, second = split.forget[:2]
    assert (first.question, first.answer) == ("Once Ann went", " away for good.")
    assert (second.question, second.answer) == ("Who is Ann 0?", "Ann 0")
    sizes = {name: (len(rows.rows), rows.role) for name, rows in split.evaluation.items()}
    assert sizes == {
        "forget": (10, "forget"),
        "retain": (8, "utility"),
        "forget_completion": (3, "forget"),
        "forget_questions": (7, "forget"),
    }


def test_whole_documents_are_forgotten_from_the_end(folder: Path) -> None:
    split = load(folder).split(0.67)
    assert len(split.forget) == 8 and split.forget[0].question == "Once Bea went"
    assert len(split.retain) == 8 + 2


def test_only_some_tasks(folder: Path) -> None:
    benchmark = load(folder, tasks=("Task2",))
    assert len(benchmark.split(1.0).forget) == len(benchmark.split(1.0).retain) == 6
    with pytest.raises(DataErrors, match=r"tasks=\['Task3'\]: retain has no row of these"):
        load(folder, tasks=("Task3",))


def test_every_mistake_of_both_files(folder: Path) -> None:
    write(folder, "forget", [{**row, "task": "Task9"} for row in document("Ann", "Task1", 1)])
    write(folder, "retain", [{"id": "x", "input": "a", "output": "b", "task": "Task1"}, {"id": "xqa1", "input": "a"}])
    with pytest.raises(DataErrors) as caught:
        load(folder)
    problems = [problem.replace(f"{folder}/", "") for problem in caught.value.problems]
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"{n}.jsonl:{i}" for n in ("forget", "retain") for i in (1, 2)
    ]
    assert "task='Task9': must be one of Task1, Task2, Task3" in problems[0]
    assert "id='x': must end in sc or qa" in problems[2] and "no 'output'" in problems[3]
    (folder / "forget.jsonl").unlink()
    with pytest.raises(DataErrors, match=r"forget\.jsonl: not found"):
        load(folder)


@real
def test_the_real_files_have_the_published_numbers() -> None:
    split = load(REAL).split(1.0)
    assert (len(split.forget), len(split.retain)) == (2732, 2734)
    assert sum(row.raw for row in split.forget) == 866
    assert {(row.question, row.answer) for row in split.forget}.isdisjoint((r.question, r.answer) for r in split.retain)
    ten = load(REAL, tasks=("Task2",)).split(0.1)
    assert len(ten.forget) == 25 * 6
