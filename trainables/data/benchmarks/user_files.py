"""The user's own data: JSON lines of questions and answers (`qa`) or of plain text (`text`), in two to four files.

All mistakes in all files are reported at once. `forget_retain` splits the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.config import BenchmarkConfig
from trainables.data.chunks import chunks, halves
from trainables.data.forget_retain import ForgetRetainBenchmark, Group, by_group
from trainables.data.jsonl import (
    BadField,
    DataErrors,
    Record,
    check_text,
    made,
    read_records,
    refuse_misspelt,
    text_field,
    text_list,
)
from trainables.data.rows import EvalSet, Row

FILES = ("forget", "retain", "utility", "holdout")
OPTIONAL = ("paraphrased_answer", "perturbed_answer", "paraphrased_question", "group")
LONGEST_ANSWER = 20_000
"""Characters of a question or answer. Rows are never cut, so one must fit into a forward pass."""
LONGEST_TEXT = 50_000_000
SHORTEST_TEXT = 16
"""Characters. A text is divided into a beginning and its continuation."""
MOST_WRONG_ANSWERS = 32
TEXT_STYLE = EvalSet((), rouge="f1", max_new_tokens=128)
"""MUSE's verbatim memorisation: 128 new tokens, F1 of ROUGE-L."""


@dataclass(frozen=True)
class _Item:
    """A row of a file before grouping. Rows with equal `identity` are duplicates."""

    place: str
    identity: tuple[str, ...]
    group: object
    content: Row | str


def make_qa(config: BenchmarkConfig) -> ForgetRetainBenchmark:
    """Read and check the files. Raises DataErrors with every problem of every file."""
    items = _read(config, dict.fromkeys(FILES, _question))
    grouped = {name: by_group((item.group, _row(item)) for item in items[name]) for name in ("forget", "retain")}
    return ForgetRetainBenchmark(
        name="qa",
        forget=grouped["forget"],
        retain=grouped["retain"],
        utility=tuple(map(_row, items["utility"])),
        holdout=tuple(map(_row, items["holdout"])),
        evaluation_rows=config.evaluation_rows,
    )


def make_text(config: BenchmarkConfig) -> ForgetRetainBenchmark:
    """Documents are trained on in chunks; evaluated is the second half of each chunk, given the first."""
    items = _read(config, {**dict.fromkeys(FILES, _text), "utility": _question})
    texts = {name: tuple(str(item.content) for item in items[name]) for name in ("forget", "retain", "holdout")}
    return ForgetRetainBenchmark(
        name="text",
        forget=tuple(map(document, texts["forget"])),
        retain=tuple(map(document, texts["retain"])),
        utility=tuple(map(_row, items["utility"])),
        holdout=tuple(row for text in texts["holdout"] for row in document(text).evaluated),
        style=TEXT_STYLE,
        evaluation_rows=config.evaluation_rows,
    )


def document(text: str) -> Group:
    """A text as chunks to train on, and each chunk's second half as the continuation of the first."""
    pieces = [piece for piece in chunks(text.rstrip()) if piece.strip()]
    evaluated = (halves(piece) for piece in pieces)
    return Group(
        tuple(Row("", piece, raw=True) for piece in pieces),
        tuple(Row(before, after, raw=True) for before, after in evaluated),
    )


def _read(config: BenchmarkConfig, kinds: Mapping[str, Callable[[Record], _Item]]) -> dict[str, list[_Item]]:
    problems: list[str] = []
    items: dict[str, list[_Item]] = {}
    for name, make in kinds.items():
        path = getattr(config, name)
        records: Iterable[Record] = () if path is None else read_records(Path(path), f"{name}={path!r}", problems)
        items[name] = list(made(records, make, problems))
        problems += _uneven(items[name])
    problems += _conflicts(items)
    if problems:
        raise DataErrors(problems)
    return items


def _question(record: Record) -> _Item:
    fields = record.fields
    refuse_misspelt(fields, OPTIONAL)
    question, answer = (text_field(fields, key, LONGEST_ANSWER) for key in ("question", "answer"))
    row = Row(
        question,
        answer,
        paraphrased_answer=_optional_text(fields, "paraphrased_answer"),
        perturbed_answers=_wrong_answers(fields, answer),
        paraphrased_question=_optional_text(fields, "paraphrased_question"),
    )
    group = fields.get("group")
    if group is not None and (isinstance(group, bool) or not isinstance(group, (str, int))):
        raise BadField(f"group={group!r}: must be a text or a whole number; give rows that go together the same one")
    return _Item(record.place, (question.strip(), answer.strip()), record.place if group is None else (group,), row)


def _text(record: Record) -> _Item:
    text = text_field(record.fields, "text", LONGEST_TEXT)
    if len(text.strip()) < SHORTEST_TEXT:
        raise BadField(f"text={text!r}: must have at least {SHORTEST_TEXT} characters; join it with another or drop it")
    return _Item(record.place, (text.strip(),), record.place, text)


def _row(item: _Item) -> Row:
    assert isinstance(item.content, Row)
    return item.content


def _optional_text(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return None if value is None else check_text(key, value, LONGEST_ANSWER)


def _wrong_answers(fields: Mapping[str, Any], answer: str) -> tuple[str, ...]:
    wrong = text_list(fields, "perturbed_answer", LONGEST_ANSWER, MOST_WRONG_ANSWERS)
    if answer.strip() in {text.strip() for text in wrong}:
        raise BadField(f"perturbed_answer has the answer {answer!r:.60}: must be wrong answers only; remove it")
    return wrong


def _uneven(items: list[_Item]) -> Iterator[str]:
    """Problems of rows with different optional answers: truth ratios compare the rows of a file."""
    rows = [(item.place, item.content) for item in items if isinstance(item.content, Row)]
    for place, row in rows[1:]:
        first_place, first = rows[0]
        if len(row.perturbed_answers) != len(first.perturbed_answers):
            yield (
                f"{place}: {len(row.perturbed_answers)} perturbed answers, but {len(first.perturbed_answers)} at "
                f"{first_place}; all rows of a file must have the same number; add or remove some"
            )
        if (row.paraphrased_answer is None) != (first.paraphrased_answer is None):
            has, other = ("no", "one") if row.paraphrased_answer is None else ("a", "none")
            yield (
                f"{place}: {has} paraphrased answer, but {other} at {first_place}; all rows of a file must have one, "
                "or none; add or remove it"
            )


def _conflicts(items: Mapping[str, list[_Item]]) -> Iterator[str]:
    """Problems of rows that are both forgotten and kept, or both held out and trained on."""
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    for name in FILES:
        for item in items[name]:
            first = seen.get(item.identity)
            seen.setdefault(item.identity, (name, item.place))
            if first is None:
                continue
            if "forget" in (first[0], name):
                rule = "a forget row must occur once only, or it would be learned again"
            elif name == "holdout" and first[0] != name:
                rule = "held-out rows must be in no other file, or models would have seen them"
            else:
                continue
            yield f"{item.place}: repeats {first[1]}; {rule}; remove one of them"
