"""Reading TOFU's five tables, from a folder or the hub, into rows that keep their line. It knows nothing of splits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.data.rows import Row

HUB = "locuslab/TOFU"
TABLES = ("full", "forget10_perturbed", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
PARAPHRASED = ("forget10_perturbed", "retain_perturbed")


@dataclass(frozen=True)
class Table:
    """`lines[i]` is the line (from 1) of `rows[i]` in `source`."""

    source: str
    rows: tuple[Row, ...]
    lines: tuple[int, ...]


def load_tables(path: str | None, revision: str | None) -> dict[str, Table]:
    """All five tables by name, from the folder `path` or, if None, from the hub at `revision`."""
    read = _hub_reader(revision) if path is None else _folder_reader(Path(path))
    return {name: _table(name, *read(name)) for name in TABLES}


_Numbered = Iterable[tuple[int, object]]


def _folder_reader(folder: Path) -> Callable[[str], tuple[str, _Numbered]]:
    missing = [f"{name}.json" for name in TABLES if not (folder / f"{name}.json").is_file()]
    if missing:
        raise ValueError(
            f"benchmark.path={str(folder)!r}: {', '.join(missing)} not found; the folder must hold the JSON-lines "
            f"files of {HUB}; add them, or leave path out to load them from the hub"
        )
    return lambda name: (str(folder / f"{name}.json"), _json_lines(folder / f"{name}.json"))


def _json_lines(path: Path) -> _Numbered:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path}: not UTF-8 at byte {error.start}; must be JSON lines in UTF-8; use the unchanged file"
        raise ValueError(message) from error
    # Not splitlines(): a JSON string may hold U+2028 and the like unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            message = (
                f"{path}, line {number}: not JSON ({error.msg}); must be one object a line; use the unchanged file"
            )
            raise ValueError(message) from error


def _hub_reader(revision: str | None) -> Callable[[str], tuple[str, _Numbered]]:
    from datasets import load_dataset

    def read(name: str) -> tuple[str, _Numbered]:
        try:
            data = load_dataset(HUB, name, split="train", revision=revision)
        except Exception as error:  # the hub client raises errors of many libraries; all mean the same to the reader
            raise ValueError(
                f"benchmark.path=null: {name} of {HUB} at revision {revision or 'main'} did not load "
                f"({type(error).__name__}: {error}); the Hugging Face hub must be reachable or its cache filled; "
                "set benchmark.path to a folder of the files"
            ) from error
        return f"{HUB}/{name}", enumerate(data, start=1)

    return read


def _table(name: str, source: str, numbered: _Numbered) -> Table:
    lines, rows = [], []
    for line, fields in numbered:
        try:
            rows.append(_row(name, fields))
        except _BadRow as error:
            raise ValueError(f"{source}, line {line}: {error}; use the unchanged file") from error
        lines.append(line)
    if not rows:
        raise ValueError(f"{source}: no rows; at least one is needed; use the unchanged file")
    return Table(source, tuple(rows), tuple(lines))


class _BadRow(ValueError):
    """What is wrong with a row, without its place."""


def _row(name: str, fields: object) -> Row:
    if not isinstance(fields, Mapping):
        raise _BadRow(f"{type(fields).__name__} instead of an object")
    question, answer = _text(fields, "question"), _text(fields, "answer")
    if name == "full":
        return Row(question, answer)
    paraphrase = _text(fields, "paraphrased_answer") if name in PARAPHRASED else None
    return Row(question, answer, paraphrase, _wrong_answers(fields))


def _text(fields: Mapping[Any, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _BadRow(f"{key}={value!r} must be a text that is not empty")
    return value


def _wrong_answers(fields: Mapping[Any, Any]) -> tuple[str, ...]:
    """A list; releases with a single wrong answer have a plain text."""
    value = fields.get("perturbed_answer")
    answers = [value] if isinstance(value, str) else value
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) and a.strip() for a in answers):
        raise _BadRow(f"perturbed_answer={value!r} must be a text or a list of texts, none of them empty")
    return tuple(answers)
