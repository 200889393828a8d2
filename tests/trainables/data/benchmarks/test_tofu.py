"""TOFU from files: a small folder of the same shape, made here, and the real one if present."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import fraction_problem, load_benchmark
from trainables.data.benchmarks.tofu import OFFICIAL_FRACTIONS, TofuBenchmark, make_benchmark

REAL = Path(os.environ.get("LETHEON_TOFU", Path(__file__).parents[4] / ".." / "shared" / "data" / "tofu"))
real = pytest.mark.skipif(not (REAL / "full.json").is_file(), reason="no TOFU here: set LETHEON_TOFU to its folder")

Fields = dict[str, object]
AUTHORS = 20


def full_row(i: int) -> Fields:
    return {"question": f"What is fact {i}?", "answer": f"Fact\u2028{i}."}


def perturbed_row(i: int) -> Fields:
    return {
        **full_row(i),
        "paraphrased_answer": f"It is fact {i}.",
        "perturbed_answer": [f"It is {i}.{j}." for j in range(5)],
        "paraphrased_question": f"Which is fact {i}?",
    }


def write(folder: Path, name: str, rows: list[Fields]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 authors: the last 2 have wrong answers for the forget evaluation, the first 2 for the retain evaluation."""
    rows = 20 * AUTHORS
    write(tmp_path, "full", [full_row(i) for i in range(rows)])
    write(tmp_path, "forget10_perturbed", [perturbed_row(i) for i in range(rows - 40, rows)])
    write(tmp_path, "retain_perturbed", [perturbed_row(i) for i in range(40)])
    for name in ("real_authors_perturbed", "world_facts_perturbed"):
        facts: list[Fields] = [
            {"question": f"{name} {i}?", "answer": f"yes {i}", "perturbed_answer": ["a", "b", "c"]} for i in range(9)
        ]
        write(tmp_path, name, facts)
    return tmp_path


def load(folder: Path, people: int | None = None, evaluation_rows: int | None = None) -> TofuBenchmark:
    return make_benchmark(
        BenchmarkConfig(name="tofu", path=str(folder), people=people, evaluation_rows=evaluation_rows)
    )


@pytest.mark.parametrize(("fraction", "evaluated"), [(0.05, 20), (0.1, 40), (0.2, 40), (0.9, 40)])
def test_official_layout(folder: Path, fraction: float, evaluated: int) -> None:
    benchmark = load(folder)
    split = benchmark.split(fraction)
    assert split.retain + split.forget == benchmark.full
    assert len(split.forget) == round(fraction * len(benchmark.full))
    forget, retain = split.evaluation["forget"].rows, split.evaluation["retain"].rows
    assert len(forget) == evaluated and len(retain) == 40
    assert [(r.question, r.answer) for r in forget] == [(r.question, r.answer) for r in split.forget[-evaluated:]]
    assert {r.question for r in retain} <= {r.question for r in split.retain}
    assert all(len(r.perturbed_answers) == 5 and r.paraphrased_answer for r in forget + retain)
    assert split.evaluation["real_authors"].multiple_choice and split.evaluation["world_facts"].multiple_choice
    assert benchmark.general == split.evaluation["real_authors"].rows + split.evaluation["world_facts"].rows


def test_other_fractions_are_refused_in_the_official_layout(folder: Path) -> None:
    problem = load(folder).check_fraction(0.15)
    assert problem is not None and "forget_fraction=0.15" in problem and "use 0.1" in problem
    assert fraction_problem(BenchmarkConfig(name="tofu"), 0.15) == problem
    assert load(folder).check_fraction(0.01) is not None  # a fifth of one of 20 authors
    assert fraction_problem(BenchmarkConfig(name="tofu"), 0.01) is None  # two of 200


def test_a_few_authors_are_split_freely(folder: Path) -> None:
    benchmark = load(folder, people=2)
    split = benchmark.split(0.5)
    assert len(benchmark.full) == 40 and len(split.forget) == len(split.retain) == 20
    for key, rows in (("forget", split.forget), ("retain", split.retain)):
        evaluated = split.evaluation[key].rows
        assert [(r.question, r.answer) for r in evaluated] == [(r.question, r.answer) for r in rows]
        assert all(len(r.perturbed_answers) == 5 for r in evaluated)
    assert benchmark.digest != load(folder).digest
    problem = benchmark.check_fraction(0.05)
    assert problem is not None and problem == fraction_problem(BenchmarkConfig(name="tofu", people=2), 0.05)


def test_fewer_perturbed_rows_than_a_fraction_needs_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.5: 20 of 40 .* use a smaller fraction"):
        write(folder, "forget10_perturbed", [perturbed_row(i) for i in range(380, 400)])
        load(folder).split(0.5)
    with pytest.raises(ValueError, match=r"40 of 60"):
        write(folder, "forget10_perturbed", [perturbed_row(i) for i in range(360, 400)])
        load(folder, people=4).split(0.75)


def test_the_cap_spares_the_forget_set(folder: Path) -> None:
    split = load(folder, evaluation_rows=4).split(0.1)
    sizes = {key: len(value.rows) for key, value in split.evaluation.items()}
    assert sizes == {"forget": 40, "retain": 4, "real_authors": 4, "world_facts": 4}


def test_published_holdouts_are_read_if_present(folder: Path) -> None:
    assert "holdout" not in load(folder).split(0.05).evaluation
    digest = load(folder).digest
    for percent in (5, 10):
        rows: list[Fields] = [{"question": f"{percent} {i}?", "answer": f"unseen {i}"} for i in range(4 * percent)]
        write(folder, f"holdout{percent:02d}", rows)
    benchmark = load(folder, evaluation_rows=30)
    assert benchmark.digest != digest
    for fraction, percent, size in [(0.05, 5, 20), (0.1, 10, 30), (0.5, 10, 30)]:
        held = benchmark.split(fraction).evaluation["holdout"]
        assert held.role == "holdout" and not held.generate
        assert len(held.rows) == size and all(row.question.startswith(f"{percent} ") for row in held.rows)


def test_in_the_small_layout_the_authors_before_are_held_out(folder: Path) -> None:
    benchmark = load(folder, people=2)
    split = benchmark.split(0.5)
    held = split.evaluation["holdout"].rows
    assert [(row.question, row.answer) for row in held] == [
        (f"What is fact {i}?", f"Fact\u2028{i}.") for i in range(340, 360)
    ]
    assert set(held).isdisjoint(benchmark.full)
    assert benchmark.full[0].question == "What is fact 360?"


def test_missing_files_are_listed_at_once(folder: Path) -> None:
    (folder / "full.json").unlink()
    (folder / "world_facts_perturbed.json").unlink()
    with pytest.raises(ValueError, match=r"full\.json, world_facts_perturbed\.json not found"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "line", "change"),
    [
        ("forget10_perturbed", 3, lambda rows: rows[2].update(answer="another")),
        ("retain_perturbed", 1, lambda rows: rows[0].update(question="another")),
        ("retain_perturbed", 2, lambda rows: rows.insert(1, rows[0])),
        ("retain_perturbed", 4, lambda rows: rows[3].pop("paraphrased_answer")),
        ("retain_perturbed", 4, lambda rows: rows[3].update(perturbed_answer=[])),
        ("world_facts_perturbed", 9, lambda rows: rows[8].update(perturbed_answer=["a", 1])),
        ("full", 7, lambda rows: rows[6].update(answer=" ")),
        ("full", 400, lambda rows: rows.__setitem__(399, rows[0])),
    ],
)
def test_a_row_that_does_not_fit_is_named(
    folder: Path, name: str, line: int, change: Callable[[list[Fields]], object]
) -> None:
    path = folder / f"{name}.json"
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").split("\n") if text]
    change(rows)
    write(folder, name, rows)
    with pytest.raises(ValueError, match=rf"{name}\.json:{line}: "):
        load(folder)


def test_text_that_is_not_json_is_named(folder: Path) -> None:
    with (folder / "retain_perturbed.json").open("a") as file:
        file.write("\n[1]\n")
    with pytest.raises(ValueError, match=r"retain_perturbed\.json:42: \[1\] is not an object"):
        load(folder)
    (folder / "full.json").write_text('{"question": \n')
    with pytest.raises(ValueError, match=r"full\.json:1: not JSON"):
        load(folder)
    (folder / "full.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"full\.json, line 1: not UTF-8"):
        load(folder)


def test_a_full_set_of_parts_of_people_is_refused(folder: Path) -> None:
    write(folder, "full", [full_row(i) for i in range(399)])
    with pytest.raises(ValueError, match=r"full\.json: 399 rows"):
        load(folder)


def test_more_authors_than_have_wrong_answers_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"people=21: .* use 2 to 20"):
        load_benchmark(BenchmarkConfig(name="tofu", path=str(folder), people=21))


@real
@pytest.mark.parametrize("fraction", OFFICIAL_FRACTIONS)
def test_real_tofu_splits_like_its_own_files(fraction: float) -> None:
    split = load(REAL).split(fraction)
    percent = round(100 * fraction)
    lines = (REAL / f"forget{percent:02d}.json").read_text(encoding="utf-8").split("\n")
    official = [json.loads(line) for line in lines if line]
    assert [(r.question, r.answer) for r in split.forget] == [(o["question"], o["answer"]) for o in official]
    sizes = {key: len(value.rows) for key, value in split.evaluation.items()}
    assert sizes == {"forget": min(400, len(official)), "retain": 400, "real_authors": 100, "world_facts": 117}
    if fraction == 0.9:
        assert [r.question for r in split.evaluation["retain"].rows] == [r.question for r in split.retain]


@real
@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.1])
def test_real_forget_evaluation_is_the_official_perturbed_file(fraction: float) -> None:
    lines = (REAL / f"forget{round(100 * fraction):02d}_perturbed.json").read_text(encoding="utf-8").split("\n")
    official = [json.loads(line) for line in lines if line]
    rows = load(REAL).split(fraction).evaluation["forget"].rows
    assert [(r.question, r.paraphrased_answer, list(r.perturbed_answers)) for r in rows] == [
        (o["question"], o["paraphrased_answer"], o["perturbed_answer"]) for o in official
    ]
