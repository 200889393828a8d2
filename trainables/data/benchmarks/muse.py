"""MUSE (arXiv 2407.06460): news articles or novels, from the hub or a folder in its layout. None of it ships here.

Models are trained on `raw/forget`, `raw/retain1` and `raw/retain2`, in chunks. Evaluated are the continuations of
`verbmem`, the questions of `knowmem` after their examples, and the membership of `privleak`. A folder has one file per
table of the hub: `raw/forget.json` and so on, as JSON lines or one array, or the hub's parquet files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.muse_files import Tables, load_tables
from trainables.data.benchmarks.user_files import TEXT_STYLE, document
from trainables.data.forget_retain import Group, divide, empty_problem, share_problem, training_rows
from trainables.data.rows import EvalSet, Role, Row, Split
from trainables.data.splitting import digest_rows, thin

KNOWLEDGE_STYLE = EvalSet((), rouge="f1", max_new_tokens=32, stop="\n\n")
SILENT_STYLE = EvalSet((), generate=False)
MATCHED_CHARACTERS = 80
"""A passage belongs to the document that contains its first characters, this many."""


@dataclass(frozen=True)
class MuseBenchmark:
    """`forget`, `retain`: documents to train on. `texts`: the forget documents unchanged. Other rows are evaluated."""

    forget: tuple[Group, ...]
    retain: tuple[Group, ...]
    texts: tuple[str, ...]
    recited: tuple[Row, ...]
    members: tuple[Row, ...]
    holdout: tuple[Row, ...]
    forget_knowledge: tuple[Row, ...]
    retain_knowledge: tuple[Row, ...]
    evaluation_rows: int | None = None
    name: str = "muse"

    @cached_property
    def digest(self) -> str:
        evaluated = (self.recited, self.members, self.holdout, self.forget_knowledge, self.retain_knowledge)
        return digest_rows((self.full, *evaluated))

    @property
    def full(self) -> tuple[Row, ...]:
        return training_rows((*self.retain, *self.forget))

    @property
    def general(self) -> tuple[Row, ...]:
        return ()

    def check_fraction(self, fraction: float) -> str | None:
        problem = share_problem(fraction) or empty_problem(fraction, len(self.forget))
        if problem or self._of_forgotten(self.recited, fraction):
            return problem
        return (
            f"forget_fraction={fraction!r}: no passage of verbmem/forget is from the forgotten documents; at least one "
            "must be; use a larger fraction, or 1.0 as the benchmark does"
        )

    def split(self, fraction: float) -> Split:
        """The last round(fraction * documents) documents are forgotten.

        Below 1.0 only passages found in them are evaluated, and no questions: the data does not say which document a
        question is about.
        """
        if problem := self.check_fraction(fraction):
            raise ValueError(problem)
        kept, forgotten = divide(self.forget, fraction)
        limit = self.evaluation_rows
        sets = {
            "forget": _set(TEXT_STYLE, self._of_forgotten(self.recited, fraction), "forget"),
            "retain": _set(KNOWLEDGE_STYLE, thin(self.retain_knowledge, limit), "utility"),
            "members": _set(SILENT_STYLE, thin(self._of_forgotten(self.members, fraction), limit), "members"),
            "holdout": _set(SILENT_STYLE, thin(self.holdout, limit), "holdout"),
        }
        if not kept:
            sets["forget_knowledge"] = _set(KNOWLEDGE_STYLE, thin(self.forget_knowledge, limit), "forget")
        present = {name: rows for name, rows in sets.items() if rows.rows}
        return Split(fraction, training_rows(forgotten), training_rows((*self.retain, *kept)), present)

    def _of_forgotten(self, rows: tuple[Row, ...], fraction: float) -> tuple[Row, ...]:
        kept = len(self.forget) - round(fraction * len(self.forget))
        if kept == 0:
            return rows
        texts = self._words_of_texts[kept:]
        starts = (_words(row.question + row.answer)[:MATCHED_CHARACTERS] for row in rows)
        return tuple(row for row, start in zip(rows, starts, strict=True) if any(start in text for text in texts))

    @cached_property
    def _words_of_texts(self) -> tuple[str, ...]:
        return tuple(map(_words, self.texts))


def make_benchmark(config: BenchmarkConfig) -> MuseBenchmark:
    """Read and check the tables. Raises DataErrors with every problem of every file."""
    tables = load_tables(config)
    texts = _texts(tables, "raw/forget")
    return MuseBenchmark(
        forget=tuple(map(document, texts)),
        retain=tuple(map(document, (*_texts(tables, "raw/retain1"), *_texts(tables, "raw/retain2")))),
        texts=texts,
        recited=tuple(Row(row["prompt"], _continuation(row, texts), raw=True) for row in tables["verbmem/forget"]),
        members=tuple(Row("", text, raw=True) for text in _texts(tables, "privleak/forget")),
        holdout=tuple(Row("", text, raw=True) for text in _texts(tables, "privleak/holdout")),
        forget_knowledge=_knowledge(tables, "forget"),
        retain_knowledge=_knowledge(tables, "retain"),
        evaluation_rows=config.evaluation_rows,
    )


def _set(style: EvalSet, rows: tuple[Row, ...], role: Role) -> EvalSet:
    return replace(style, rows=rows, role=role)


def _texts(tables: Tables, name: str) -> tuple[str, ...]:
    return tuple(row["text"] for row in tables[name])


def _continuation(row: Mapping[str, str], texts: Sequence[str]) -> str:
    """The continuation, with the space that was lost if the passage was cut between words: the documents tell."""
    end, start = row["prompt"][-MATCHED_CHARACTERS:], row["gt"][:MATCHED_CHARACTERS]
    whole = end[-1:].isspace() or start[:1].isspace() or any(end + start in text for text in texts)
    return row["gt"] if whole else f" {row['gt']}"


def _knowledge(tables: Tables, name: str) -> tuple[Row, ...]:
    """Questions after the benchmark's own examples, as plain text: MUSE's models are not chat models."""
    examples = "".join(_question(row) + f" {row['answer']}\n\n" for row in tables[f"knowmem/{name}_qa_icl"])
    return tuple(Row(examples + _question(row), f" {row['answer']}", raw=True) for row in tables[f"knowmem/{name}_qa"])


def _question(row: Mapping[str, str]) -> str:
    return f"Question: {row['question']}\nAnswer:"


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
