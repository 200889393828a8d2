"""Reads TOFU's five tables, from a folder or the hub, into rows that keep their place. Does not split them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.data.hub import has_configuration, hub_records
from trainables.data.jsonl import BadField, DataErrors, Record, made, read_records, text_field, text_list
from trainables.data.rows import Row

HUB = "locuslab/TOFU"
TABLES = ("full", "forget10_perturbed", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
HOLDOUTS = {"holdout01": 1, "holdout05": 5, "holdout10": 10}
"""Table -> percent of the forget set that it resembles; no model has seen its rows. Some copies lack them."""
PARAPHRASED = ("forget10_perturbed", "retain_perturbed")
LONGEST = 20_000
MOST_WRONG_ANSWERS = 32


@dataclass(frozen=True)
class Table:
    """`places[i]` is the file (or hub table) and line of `rows[i]`, as source:line."""

    rows: tuple[Row, ...]
    places: tuple[str, ...]

    @property
    def source(self) -> str:
        return self.places[0].rpartition(":")[0]


def load_tables(path: str | None, revision: str | None) -> dict[str, Table]:
    """All five tables and the available holdouts by name, from the folder `path`, or if None the hub at `revision`.

    Raises ValueError that names all missing files, or DataErrors with every problem of every file.
    """
    problems: list[str] = []
    if path is not None:
        _require_files(Path(path))
    tables = {name: _table(name, _records(name, path, revision, problems), problems) for name in TABLES}
    for name in HOLDOUTS:
        if (Path(path) / f"{name}.json").is_file() if path is not None else has_configuration(HUB, name, revision):
            tables[name] = _table(name, _records(name, path, revision, problems), problems)
    if problems:
        raise DataErrors(problems)
    return tables


def _require_files(folder: Path) -> None:
    missing = [f"{name}.json" for name in TABLES if not (folder / f"{name}.json").is_file()]
    if missing:
        raise ValueError(
            f"benchmark.path={str(folder)!r}: {', '.join(missing)} not found; the folder must hold the JSON-lines "
            f"files of {HUB}; add them, or leave path out to load them from the hub"
        )


def _records(name: str, path: str | None, revision: str | None, problems: list[str]) -> Iterable[Record]:
    if path is None:
        return hub_records(HUB, name, "train", revision)
    file = Path(path) / f"{name}.json"
    return read_records(file, str(file), problems)


def _table(name: str, records: Iterable[Record], problems: list[str]) -> Table:
    before = len(problems)
    rows = list(made(records, lambda record: (_row(name, record.fields), record.place), problems))
    if not rows and len(problems) == before:
        problems.append(f"{HUB}/{name}: no rows; at least one is needed; use the unchanged file")
    return Table(tuple(row for row, _ in rows), tuple(place for _, place in rows))


def _row(name: str, fields: Mapping[str, Any]) -> Row:
    question, answer = (text_field(fields, key, LONGEST) for key in ("question", "answer"))
    if name == "full" or name in HOLDOUTS:
        return Row(question, answer)
    wrong = text_list(fields, "perturbed_answer", LONGEST, MOST_WRONG_ANSWERS)
    if not wrong:
        raise BadField("no 'perturbed_answer'; every row needs one; use the unchanged file")
    if name not in PARAPHRASED:
        return Row(question, answer, perturbed_answers=wrong)
    paraphrase = None
    if fields.get("paraphrased_question") is not None:
        paraphrase = text_field(fields, "paraphrased_question", LONGEST)
    return Row(question, answer, text_field(fields, "paraphrased_answer", LONGEST), wrong, paraphrase)
