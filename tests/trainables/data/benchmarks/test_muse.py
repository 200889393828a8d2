"""MUSE from a folder: a few documents in the layout of its repository, written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.muse_files import FIELDS
from trainables.data.benchmarks.registry import load_benchmark
from trainables.data.chunks import CHUNK_CHARACTERS
from trainables.data.jsonl import DataErrors
from trainables.data.rows import Benchmark

ARTICLES = [
    f"The harbour of town {i} was closed on Monday after a storm. Ships waited outside for {i + 2} days, and the mayor "
    f"of town {i} asked everybody to stay at home. Nobody was hurt, said the keeper of lighthouse {i}."
    for i in range(4)
]


def knowledge(what: str, rows: int) -> list[dict[str, str]]:
    return [{"question": f"What of {what} {i}?", "answer": f"{what} {i}"} for i in range(rows)]


TABLES: dict[str, list[Any]] = {
    "raw/forget": [{"text": text} for text in ARTICLES],
    "raw/retain1": [{"text": "A long tale. " * 400}, {"text": "A market opened in the village near the lake."}],
    "raw/retain2": [{"text": "A museum showed old maps of the northern coast."}],
    "verbmem/forget": [{"prompt": text[:60], "gt": text[60:]} for text in ARTICLES],
    "knowmem/forget_qa": knowledge("storm", 3),
    "knowmem/retain_qa": knowledge("market", 5),
    "knowmem/forget_qa_icl": knowledge("example", 2),
    "knowmem/retain_qa_icl": knowledge("sample", 1),
    "privleak/forget": [{"text": text} for text in ARTICLES],
    "privleak/holdout": [{"text": text.replace("Monday", "Friday")} for text in ARTICLES],
}


def write(folder: Path, name: str, rows: list[Any]) -> None:
    """As the hub's files are kept locally: one JSON array."""
    path = folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in TABLES.items():
        write(tmp_path, name, rows)
    return tmp_path


def load(folder: Path, **options: Any) -> Benchmark:
    return load_benchmark(BenchmarkConfig(name="muse", path=str(folder), **options))


def test_the_tables_of_these_tests_are_those_that_are_read() -> None:
    assert set(TABLES) == set(FIELDS)


def test_everything_is_forgotten_and_evaluated(folder: Path) -> None:
    split = load(folder).split(1.0)
    assert [row.answer for row in split.forget] == ARTICLES
    assert all(row.raw and not row.question for row in (*split.forget, *split.retain))
    assert all(len(row.answer) <= CHUNK_CHARACTERS for row in split.retain) and len(split.retain) == 3 + 1 + 1
    found = {
        name: (len(rows.rows), rows.role, rows.rouge, rows.generate, rows.max_new_tokens, rows.stop)
        for name, rows in split.evaluation.items()
    }
    assert found == {
        "forget": (4, "forget", "f1", True, 128, None),
        "forget_knowledge": (3, "forget", "f1", True, 32, "\n\n"),
        "retain": (5, "utility", "f1", True, 32, "\n\n"),
        "members": (4, "members", "recall", False, None, None),
        "holdout": (4, "holdout", "recall", False, None, None),
    }
    assert [row.question + row.answer for row in split.evaluation["forget"].rows] == ARTICLES


def test_a_lost_space_between_prompt_and_continuation_is_restored(folder: Path) -> None:
    blank = ARTICLES[0].index(" Ships")
    inside = {"prompt": ARTICLES[0][: blank + 3], "gt": ARTICLES[0][blank + 3 :]}
    write(folder, "verbmem/forget", [inside, *({"prompt": t[:blank], "gt": t[blank + 1 :]} for t in ARTICLES[1:])])
    assert [row.question + row.answer for row in load(folder).split(1.0).evaluation["forget"].rows] == ARTICLES


def test_questions_come_after_their_examples_as_plain_text(folder: Path) -> None:
    row = load(folder).split(1.0).evaluation["forget_knowledge"].rows[1]
    assert row.raw and row.answer == " storm 1"
    assert row.question == (
        "Question: What of example 0?\nAnswer: example 0\n\nQuestion: What of example 1?\nAnswer: example 1\n\n"
        "Question: What of storm 1?\nAnswer:"
    )


def test_below_1_only_passages_of_forgotten_documents_are_evaluated(folder: Path) -> None:
    split = load(folder).split(0.5)
    assert [row.answer for row in split.forget] == ARTICLES[2:]
    assert set(ARTICLES[:2]) <= {row.answer for row in split.retain}
    sets = split.evaluation
    assert set(sets) == {"forget", "retain", "members", "holdout"}
    assert [row.question + row.answer for row in sets["forget"].rows] == ARTICLES[2:]
    assert [row.answer for row in sets["members"].rows] == ARTICLES[2:]


def test_a_share_without_a_passage_is_refused(folder: Path) -> None:
    write(folder, "verbmem/forget", TABLES["verbmem/forget"][:2])
    benchmark = load(folder)
    problem = benchmark.check_fraction(0.5)
    assert problem is not None and "no passage of verbmem/forget" in problem and benchmark.check_fraction(1.0) is None
    assert "at least one must be forgotten" in str(benchmark.check_fraction(0.1))


def test_lines_texts_and_parquet_are_read_like_arrays(folder: Path) -> None:
    digest = load(folder).digest
    (folder / "raw/forget.json").unlink()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in ARTICLES)
    (folder / "raw/forget.jsonl").write_text(lines, encoding="utf-8")
    write(folder, "privleak/forget", ARTICLES)  # plain texts, as the benchmark's own repository has them
    (folder / "raw/retain2.json").unlink()
    (folder / "raw/retain2.txt").write_text(TABLES["raw/retain2"][0]["text"], encoding="utf-8")
    from datasets import Dataset

    (folder / "knowmem/forget_qa.json").unlink()
    Dataset.from_list(TABLES["knowmem/forget_qa"]).to_parquet(str(folder / "knowmem/forget_qa-00000-of-00001.parquet"))
    assert load(folder).digest == digest


def test_missing_tables_are_listed_and_bad_rows_named(folder: Path) -> None:
    write(folder, "knowmem/forget_qa", [{"question": "q"}, *knowledge("storm", 1), 7])
    write(folder, "privleak/holdout", [{"text": " "}])
    with pytest.raises(DataErrors) as caught:
        load(folder)
    places = [problem.replace(f"{folder}/", "").partition(": ")[0] for problem in caught.value.problems]
    assert places == ["knowmem/forget_qa.json:1", "knowmem/forget_qa.json:3", "privleak/holdout.json:1"]
    for name in ("raw/forget", "verbmem/forget"):
        (folder / f"{name}.json").unlink()
    with pytest.raises(DataErrors) as caught:
        load(folder)
    assert ["raw/forget.json not found" in caught.value.problems[0], len(caught.value.problems)] == [True, 2]
    (folder / "raw/forget.json").write_text("{broken", encoding="utf-8")
    (folder / "verbmem/forget.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataErrors, match="neither a JSON array nor JSON lines"):
        load(folder)


def test_the_retain_set_is_capped_the_forget_set_is_not(folder: Path) -> None:
    sets = load(folder, evaluation_rows=4).split(1.0).evaluation
    assert {name: len(rows.rows) for name, rows in sets.items()} == {
        "forget": 4,
        "forget_knowledge": 3,
        "retain": 4,
        "members": 4,
        "holdout": 4,
    }
