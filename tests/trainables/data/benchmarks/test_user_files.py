"""The user's own files: what is read from good ones, and every mistake of bad ones at once with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import fraction_problem, load_benchmark
from trainables.data.benchmarks.user_files import LONGEST_ANSWER
from trainables.data.chunks import CHUNK_CHARACTERS
from trainables.data.jsonl import SHOWN_PROBLEMS, DataErrors
from trainables.data.rows import Benchmark, Row

Name = Literal["qa", "text"]
Fields = dict[str, Any]


def qa(i: int | str, **more: Any) -> Fields:
    return {"question": f"What is {i}?", "answer": f"It is {i}.", **more}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def load(folder: Path, name: Name = "qa", rows: int | None = None, **files: list[Any]) -> Benchmark:
    paths = {option: write(folder / f"{option}.jsonl", content) for option, content in files.items()}
    return load_benchmark(BenchmarkConfig(name=name, evaluation_rows=rows, **paths))  # type: ignore[arg-type]


def problems_of(folder: Path, name: Name = "qa", **files: list[Any]) -> tuple[str, ...]:
    with pytest.raises(DataErrors) as caught:
        load(folder, name, None, **files)
    return tuple(problem.replace(f"{folder}/", "") for problem in caught.value.problems)


def test_the_last_rows_of_the_forget_file_are_forgotten_and_the_others_kept(tmp_path: Path) -> None:
    benchmark = load(tmp_path, forget=[qa(i) for i in range(10)], retain=[qa(f"r{i}") for i in range(4)])
    split = benchmark.split(0.3)
    assert [row.answer for row in split.forget] == ["It is 7.", "It is 8.", "It is 9."]
    assert split.retain + split.forget == benchmark.full
    assert benchmark.split(1.0).retain == tuple(benchmark.full)[:4]
    sets = split.evaluation
    assert {name: rows.role for name, rows in sets.items()} == {"forget": "forget", "retain": "utility"}
    assert sets["forget"].rows == split.forget and sets["retain"].rows == split.retain


@given(rows=st.integers(1, 300), fraction=st.floats(0, 1.5) | st.sampled_from([float("nan"), float("inf"), -1.0]))
def test_a_share_is_a_whole_number_of_groups_or_refused(rows: int, fraction: float) -> None:
    from trainables.data.forget_retain import ForgetRetainBenchmark, by_group

    forget = by_group((i, Row(str(i), "a")) for i in range(rows))
    benchmark = ForgetRetainBenchmark("qa", forget, by_group([(0, Row("r", "a"))]))
    problem = benchmark.check_fraction(fraction)
    if 0 < fraction <= 1 and round(fraction * rows) >= 1:
        assert problem is None
        assert len(benchmark.split(fraction).forget) == round(fraction * rows)
    else:
        assert problem is not None and repr(fraction) in problem
        suggested = float(problem.rpartition("; use ")[2].split()[0])
        assert benchmark.check_fraction(suggested) is None
        with pytest.raises(ValueError, match="forget_fraction"):
            benchmark.split(fraction)


def test_a_fraction_is_checked_without_data_as_far_as_possible() -> None:
    config = BenchmarkConfig(name="qa", forget="f", retain="r")
    assert fraction_problem(config, 1.0) is None and fraction_problem(config, 0.001) is None
    assert "at most 1" in str(fraction_problem(config, 1.1))


def test_groups_stay_together(tmp_path: Path) -> None:
    forget = [qa(i, group=group) for i, group in enumerate(["a", "b", "a", "b", 3])] + [qa("alone")]
    benchmark = load(tmp_path, forget=forget, retain=[qa("r")])
    assert [row.answer for row in benchmark.split(0.75).forget] == ["It is 1.", "It is 3.", "It is 4.", "It is alone."]


def test_optional_fields_utility_and_holdout(tmp_path: Path) -> None:
    full = {"paraphrased_answer": "p", "perturbed_answer": ["w", "v"], "paraphrased_question": "Which?"}
    benchmark = load(
        tmp_path,
        rows=4,
        forget=[qa(0, **full)],
        retain=[qa(f"r{i}", id=i) for i in range(9)],
        utility=[qa("u", perturbed_answer="x"), qa("v", perturbed_answer="y")],
        holdout=[qa("h", **full)],
    )
    sets = benchmark.split(1.0).evaluation
    assert sets["forget"].rows == (Row("What is 0?", "It is 0.", "p", ("w", "v"), "Which?"),)
    assert len(sets["retain"].rows) == 4
    assert sets["utility"].multiple_choice and sets["utility"].rows == tuple(benchmark.general)
    held = sets["holdout"]
    assert held.role == "holdout" and not held.generate and not held.rows[0].perturbed_answers


def test_kept_rows_lose_their_wrong_answers_if_other_rows_have_none(tmp_path: Path) -> None:
    forget = [qa(i, perturbed_answer=["w"]) for i in range(2)]
    sets = load(tmp_path, forget=forget, retain=[qa("r")]).split(0.5).evaluation
    assert [row.perturbed_answers for row in sets["retain"].rows] == [(), ()]
    assert [row.perturbed_answers for row in sets["forget"].rows] == [("w",)]


# ---- bad files

BAD: dict[str, tuple[list[Any], list[str]]] = {
    "no answer": ([qa(0), {"question": "q"}], ["forget.jsonl:2: no 'answer'; every row needs one; add 'answer'"]),
    "misspelt": ([{"question": "q", "anwser": "a"}], ["forget.jsonl:1: no 'answer'; every row needs one; rename 'anw"]),
    "a number": ([{"question": "q", "answer": 5}], ["forget.jsonl:1: answer=5: must be a text"]),
    "null": ([{"question": None, "answer": "a"}], ["forget.jsonl:1: question=None: must be a text"]),
    "blank": ([{"question": " \u2003", "answer": "a"}], ["forget.jsonl:1: question=' \\u2003': must be a text"]),
    "misspelt option": (
        [qa(0, perturbed_answers=["a"])],
        ["'perturbed_answers': looks like a misspelt 'perturbed_answer'"],
    ),
    "wrong type": ([qa(0, perturbed_answer={"a": 1})], ["perturbed_answer={'a': 1}: must be a text or a list"]),
    "empty list": ([qa(0, perturbed_answer=[])], ["perturbed_answer=[]: must be a text or a list of 1"]),
    "a blank wrong answer": ([qa(0, perturbed_answer=["x", ""])], ["perturbed_answer='': must be a text that is"]),
    "a right wrong answer": ([qa(0, perturbed_answer=["It is 0."])], ["must be wrong answers only"]),
    "uneven": (
        [qa(0, perturbed_answer=["x"]), qa(1), qa(2, perturbed_answer="z", paraphrased_answer="p")],
        ["forget.jsonl:2: 0 perturbed answers, but 1 at", "forget.jsonl:3: a paraphrased answer, but none at"],
    ),
    "group": ([qa(0, group=[1])], ["group=[1]: must be a text or a whole number"]),
    "twice": ([qa(0), qa(1), qa(0)], ["forget.jsonl:3: repeats", "forget.jsonl:1; a forget row must occur once"]),
    "too long": ([qa("x" * LONGEST_ANSWER)], ["20009 characters; must be at most 20000", "shorten or split it"]),
    "no object": (
        [qa(0), ["q", "a"], "text"],
        ["forget.jsonl:2: ['q', 'a'] is not an object", "forget.jsonl:3: 'text'"],
    ),
    "several": ([{"question": "q"}, 1, qa(0, group=True)], ["jsonl:1: no 'answer'", "jsonl:2: 1 is", "jsonl:3: group"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named_with_value_rule_and_fix(case: str, tmp_path: Path) -> None:
    forget, expected = BAD[case]
    problems = problems_of(tmp_path, forget=forget, retain=[qa("r")])
    for fragment in expected:
        assert any(fragment in problem for problem in problems), problems
    assert all("; " in problem for problem in problems)


def test_the_mistakes_of_all_files_are_reported_together(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        forget=[qa(0), {"answer": "a"}],
        retain=[qa(0), qa("r")],
        utility=[{"question": "q"}],
        holdout=[qa("r")],
    )
    places = [problem.partition(": ")[0] for problem in problems]
    assert places == ["forget.jsonl:2", "utility.jsonl:1", "retain.jsonl:1", "holdout.jsonl:1"]
    assert "it would be learned again" in problems[2] and "models would have seen them" in problems[3]


def test_thousands_of_mistakes_are_counted_instead_of_printed(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, forget=[{"question": "q"}] * 3000, retain=[qa(0)])
    assert len(problems) == SHOWN_PROBLEMS + 1 and problems[-1].startswith("and 2950 more")


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "forget='.*': no rows; at least one is needed"),
    "blank lines": (b"\n \r\n\n", "no rows; at least one"),
    "truncated": (b'{"question": "q", "answer": "a"}\n{"question": "q", "ans', r"jsonl:2: not JSON at character"),
    "an array": (b'[\n {"question": "q", "answer": "a"}\n]\n', r"jsonl:1: a JSON array; must be one object per line"),
    "not UTF-8": (b'{"question": "q", "answer": "a"}\n\xff\xfe', "line 2: not UTF-8 at byte 33"),
    "UTF-16": ('{"question": "q"}'.encode("utf-16"), "line 1: not UTF-8"),
    "NaN": (b'{"question": "q", "answer": NaN}', "NaN is not JSON; must be an object of texts"),
    "a key twice": (b'{"question": "q", "question": "p", "answer": "a"}', "duplicate key 'question'"),
    "too deep": (b'{"question": ' + b"[" * 100_000, "nested too deeply"),
    "a huge number": (b'{"question": "q", "answer": ' + b"9" * 10_000 + b"}", "jsonl:1: .*integer"),
    "a lone surrogate": (b'{"question": "q", "answer": "\\ud800"}', "half of a surrogate pair"),
    "CSV": (b"question,answer\nq,a\n", "jsonl:1: not JSON"),
    "binary": (bytes(range(256)) * 4, "not UTF-8"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_gets_a_readable_error(case: str, tmp_path: Path) -> None:
    content, expected = HOSTILE[case]
    (tmp_path / "f.jsonl").write_bytes(content)
    retain = write(tmp_path / "r.jsonl", [qa("r")])
    with pytest.raises(DataErrors, match=expected):
        load_benchmark(BenchmarkConfig(name="qa", forget=str(tmp_path / "f.jsonl"), retain=retain))


def test_files_that_cannot_be_read_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(DataErrors) as caught:
        load_benchmark(BenchmarkConfig(name="qa", forget=str(tmp_path), retain=str(tmp_path / "none.jsonl")))
    assert ["a folder; must be a file" in p or "not found; must be a file" in p for p in caught.value.problems] == [
        True,
        True,
    ]


def test_odd_but_good_files_are_read(tmp_path: Path) -> None:
    text = '\ufeff{"question": "Q\u2028?", "answer": "\\ud83d\\ude00 \u0000"}\r\n\r\n'
    text += '  {"question":"q","answer":"a","id":1}'
    (tmp_path / "f.jsonl").write_text(text, encoding="utf-8", newline="")
    config = BenchmarkConfig(name="qa", forget=str(tmp_path / "f.jsonl"), retain=write(tmp_path / "r", [qa("r")]))
    with pytest.raises(DataErrors, match="jsonl:1: not JSON"):  # a raw control character
        load_benchmark(config)
    (tmp_path / "f.jsonl").write_text(text.replace("\u0000", ""), encoding="utf-8", newline="")
    assert [row.answer for row in load_benchmark(config).split(1.0).forget] == ["\U0001f600 ", "a"]


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_rows_or_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_bytes(content)
    retain = write(tmp_path / "r.jsonl", [{"text": "something else that is long enough"}])
    with pytest.raises(DataErrors):
        load_benchmark(BenchmarkConfig(name="text", forget=str(tmp_path / "f.jsonl"), retain=retain))


# ---- plain text


def test_texts_are_trained_on_in_chunks_and_evaluated_by_halves(tmp_path: Path) -> None:
    long = " ".join(f"word{i}" for i in range(1000))
    benchmark = load(
        tmp_path, "text", forget=[{"text": "a short text of one line"}, {"text": long}], retain=[{"text": long[1:]}]
    )
    split = benchmark.split(0.5)
    assert "".join(row.answer for row in split.forget) == long
    assert all(row.raw and row.question == "" and len(row.answer) <= CHUNK_CHARACTERS for row in split.forget)
    asked = split.evaluation["forget"]
    assert "".join(row.question + row.answer for row in asked.rows) == long
    assert all(row.raw and row.question and row.answer for row in asked.rows)
    assert (asked.rouge, asked.max_new_tokens, asked.generate) == ("f1", 128, True)
    assert [row.question + row.answer for row in split.evaluation["retain"].rows][-1] == "a short text of one line"


def test_rows_of_text_need_the_key_text(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        "text",
        forget=[{"text": "too short"}, {"txt": "x"}, {"text": 1}],
        retain=[{"text": "long enough, this one"}],
    )
    assert [problem.partition(": ")[2][:24] for problem in problems] == [
        "text='too short': must h",
        "no 'text'; every row nee",
        "text=1: must be a text t",
    ]


def test_the_digest_follows_the_rows_not_the_paths(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    files = {"forget": [qa(0)], "retain": [qa(1)]}
    one, two = (load(tmp_path / name, "qa", None, **files).digest for name in ("one", "two"))
    assert one == two != load(tmp_path / "two", forget=[qa(0)], retain=[qa(2)]).digest
