"""LUME (arXiv 2502.15097, SemEval-2025 task 4): invented stories, invented and real biographies, from folder or hub.

Every document occurs twice: as text to complete (raw) and as questions. None of it ships here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from trainables.config import BenchmarkConfig
from trainables.data.forget_retain import ForgetRetainBenchmark, Group, by_group
from trainables.data.hub import hub_records
from trainables.data.jsonl import BadField, DataErrors, Record, made, read_records, text_field
from trainables.data.rows import Row

HUB = "llmunlearningsemeval2025organization/semeval25-unlearning-dataset-public"
SPLITS = {"forget": "forget_train", "retain": "retain_train"}
TASKS = ("Task1", "Task2", "Task3")
LONGEST = 20_000
KINDS = {"forget_completion": True, "forget_questions": False}
"""The paper's two tests, regurgitation and knowledge, are separate forget sets."""

_ID = re.compile(r"(?P<document>.+?)(?P<kind>sc|qa)\d*", re.DOTALL)


def make_benchmark(config: BenchmarkConfig) -> ForgetRetainBenchmark:
    """Read and check the files. Raises DataErrors with every problem of both."""
    problems: list[str] = []
    tasks = config.tasks or TASKS
    groups = {
        name: _groups(_records(name, config, problems), tasks, problems, f"tasks={list(tasks)}: {name}")
        for name in SPLITS
    }
    if problems:
        raise DataErrors(problems)
    return ForgetRetainBenchmark(
        name="lume",
        forget=groups["forget"],
        retain=groups["retain"],
        kinds=KINDS,
        evaluation_rows=config.evaluation_rows,
    )


def _records(name: str, config: BenchmarkConfig, problems: list[str]) -> Iterator[Record]:
    if config.path is not None:
        return read_records(Path(config.path) / f"{name}.jsonl", f"benchmark.path: {name}.jsonl", problems)
    return hub_records(HUB, None, SPLITS[name], config.revision)


def _groups(records: Iterable[Record], tasks: tuple[str, ...], problems: list[str], what: str) -> tuple[Group, ...]:
    before = len(problems)
    found = made(records, lambda record: _row(record.fields), problems)
    rows = [((task, document), row) for task, document, row in found if task in tasks]
    if not rows and len(problems) == before:
        problems.append(f"{what} has no row of these tasks; at least one is needed; name other tasks")
    return by_group(rows)


def _row(fields: Mapping[str, object]) -> tuple[str, str, Row]:
    """(task, document, row)."""
    given, output = (text_field(fields, key, LONGEST) for key in ("input", "output"))
    task, name = (text_field(fields, key, LONGEST) for key in ("task", "id"))
    if task not in TASKS:
        raise BadField(f"task={task!r}: must be one of {', '.join(TASKS)}; use the unchanged file")
    match = _ID.fullmatch(name)
    if match is None:
        raise BadField(f"id={name!r}: must end in sc or qa and a number; use the unchanged file")
    if match["kind"] == "sc":  # the text was cut at a space, which is in neither part
        return task, match["document"], Row(given, f" {output.lstrip()}", raw=True)
    return task, match["document"], Row(given, output)
