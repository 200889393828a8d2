"""Reads TOFU's five tables, from a folder or the hub, into rows that keep their line. Does not split them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.data.hub import Numbered, has_configuration, read_hub
from trainables.data.rows import Row

HUB = "locuslab/TOFU"
TABLES = ("full", "forget10_perturbed", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
HOLDOUTS = {"holdout01": 1, "holdout05": 5, "holdout10": 10}
"""Table -> percent of the forget set that it resembles; no model has seen its rows. Some copies lack them."""
PARAPHRASED = ("forget10_perturbed", "retain_perturbed")


@dataclass(frozen=True)
class Table:
    """`lines[i]` is the line (from 1) of `rows[i]` in `source`."""

    source: str
    rows: tuple[Row, ...]
    lines: tuple[int, ...]


def load_tables(path: str | None, revision: str | None) -> dict[str, Table]:
    """All five tables and the available holdouts by name, from the folder `path`, or if None the hub at `revision`."""
    read = _hub_reader(revision) if path is None else _folder_reader(Path(path))
    tables = {name: _table(name, *read(name)) for name in TABLES}
    present = (name for name in HOLDOUTS if _exists(name, path, revision))
    return tables | {name: _table(name, *read(name)) for name in present}


def _exists(name: str, path: str | None, revision: str | None) -> bool:
    return has_configuration(HUB, name, revision) if path is None else (Path(path) / f"{name}.json").is_file()


def _folder_reader(folder: Path) -> Callable[[str], tuple[str, Numbered]]:
    missing = [f"{name}.json" for name in TABLES if not (folder / f"{name}.json").is_file()]
    if missing:
        raise ValueError(
            f"benchmark.path={str(folder)!r}: {', '.join(missing)} not found; the folder must hold the JSON-lines "
            f"files of {HUB}; add them, or leave path out to load them from the hub"
        )
    return lambda name: (str(folder / f"{name}.json"), _json_lines(folder / f"{name}.json"))


def _json_lines(path: Path) -> Numbered:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path}: not UTF-8 at byte {error.start}; must be JSON lines in UTF-8; use the unchanged file"
        raise ValueError(message) from error
    # Not splitlines(): a JSON string may contain U+2028 and the like unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            message = (
                f"{path}, line {number}: not JSON ({error.msg}); must be one object per line; use the unchanged file"
            )
            raise ValueError(message) from error


def _hub_reader(revision: str | None) -> Callable[[str], tuple[str, Numbered]]:
    return lambda name: read_hub(HUB, name, "train", revision)


def _table(name: str, source: str, numbered: Numbered) -> Table:
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
    """A problem of one row, without its place."""


def _row(name: str, fields: object) -> Row:
    if not isinstance(fields, Mapping):
        raise _BadRow(f"{type(fields).__name__} instead of an object")
    question, answer = _text(fields, "question"), _text(fields, "answer")
    if name == "full" or name in HOLDOUTS:
        return Row(question, answer)
    wrong = _wrong_answers(fields)
    if name not in PARAPHRASED:
        return Row(question, answer, None, wrong)
    paraphrase = _text(fields, "paraphrased_question") if fields.get("paraphrased_question") is not None else None
    return Row(question, answer, _text(fields, "paraphrased_answer"), wrong, paraphrase)


def _text(fields: Mapping[Any, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _BadRow(f"{key}={value!r} must be a text that is not empty")
    return value


def _wrong_answers(fields: Mapping[Any, Any]) -> tuple[str, ...]:
    """A list of texts; some releases have a single text instead."""
    value = fields.get("perturbed_answer")
    answers = [value] if isinstance(value, str) else value
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) and a.strip() for a in answers):
        raise _BadRow(f"perturbed_answer={value!r} must be a text or a list of texts, none of them empty")
    return tuple(answers)
