"""Reads MUSE's tables, from a folder in the layout of its repository or from the hub. Does not split them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from trainables.config import BenchmarkConfig
from trainables.data.hub import Numbered, read_hub
from trainables.data.jsonl import BadField, DataErrors, show, text_field
from trainables.data.text_files import read_text

HUB = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
FIELDS = {
    "raw/forget": ("text",),
    "raw/retain1": ("text",),
    "raw/retain2": ("text",),
    "verbmem/forget": ("prompt", "gt"),
    "knowmem/forget_qa": ("question", "answer"),
    "knowmem/retain_qa": ("question", "answer"),
    "knowmem/forget_qa_icl": ("question", "answer"),
    "knowmem/retain_qa_icl": ("question", "answer"),
    "privleak/forget": ("text",),
    "privleak/holdout": ("text",),
}
ENDINGS = (".json", ".jsonl", ".txt", "-*.parquet")
LONGEST = 50_000_000

Tables: TypeAlias = Mapping[str, Sequence[Mapping[str, str]]]


def load_tables(config: BenchmarkConfig) -> Tables:
    """Every table by name. Raises DataErrors with every problem of every file."""
    problems: list[str] = []
    tables = {}
    files = None if config.path is None else _find(Path(config.path), problems)
    if problems:
        raise DataErrors(problems)
    for name, keys in FIELDS.items():
        if files is None:  # an unreachable hub is one problem, not ten
            tables[name] = _checked(*_hub(config, name), keys, problems)
            continue
        try:
            tables[name] = _checked(*_file(files[name]), keys, problems)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise DataErrors(problems)
    return tables


def _find(folder: Path, problems: list[str]) -> dict[str, Path]:
    files = {}
    for name in FIELDS:
        found = [path for ending in ENDINGS for path in sorted(folder.glob(name + ending)) if path.is_file()]
        if found:
            files[name] = found[0]
        else:
            problems.append(
                f"benchmark.path={str(folder)!r}: {name}.json not found; the folder must have the tables of "
                f"{HUB['news']}; add it, or leave path out to load them from the hub"
            )
    return files


def _hub(config: BenchmarkConfig, name: str) -> tuple[str, Numbered]:
    configuration, split = name.split("/")
    return read_hub(HUB[config.corpus or "news"], configuration, split, config.revision)


def _file(path: Path) -> tuple[str, Numbered]:
    """(source, numbered rows). A text file is one document; JSON is an array of objects or texts, or one per line."""
    if path.suffix == ".parquet":
        from datasets import Dataset

        return str(path), enumerate(Dataset.from_parquet(str(path)), start=1)
    text = read_text(path, str(path))
    if path.suffix == ".txt":
        return str(path), [(1, text)]
    return str(path), _json_rows(path, text)


def _json_rows(path: Path, text: str) -> Numbered:
    try:
        whole = json.loads(text)
        return enumerate(whole if isinstance(whole, list) else [whole], start=1)
    except (ValueError, RecursionError):
        pass
    try:
        return [(i, json.loads(line)) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: neither a JSON array nor JSON lines ({error}); must be one of the two; use the unchanged file"
        ) from error


def _checked(source: str, rows: Numbered, keys: Sequence[str], problems: list[str]) -> list[dict[str, str]]:
    checked = []
    for number, fields in rows:
        one = {"text": fields} if keys == ("text",) and isinstance(fields, str) else fields
        try:
            if not isinstance(one, Mapping):
                raise BadField(f"{show(one)} is not an object; must have {', '.join(keys)}; use the unchanged file")
            checked.append({key: text_field(one, key, LONGEST) for key in keys})
        except BadField as error:
            problems.append(f"{source}:{number}: {error}")
    if not checked and not problems:
        problems.append(f"{source}: no rows; at least one is needed; use the unchanged file")
    return checked
