"""The embedded benchmark: deterministic, distinct, split by whole people."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import Row, load_benchmark
from trainables.data.fictional.attributes import ATTRIBUTES, PARAPHRASES
from trainables.data.fictional.general_facts import REAL_PEOPLE, WORLD_FACTS
from trainables.data.fictional.generator import MAX_PEOPLE, FictionalBenchmark, make_benchmark
from trainables.data.splitting import ROWS_PER_PERSON, digest_rows

# Published numbers belong to these rows: a change of word stock, wording or draws must be seen, and said in the notes.
DIGEST_OF_20_PEOPLE_SEED_0 = "adb7f7e9d52196a6baafb269734bf00179a846f2ab4b8438317c2126739ca606"
DIGEST_WITHOUT_PARAPHRASED_QUESTIONS = "cab0db852afeaac1ccae37e88f5f9665d0f46945fae86c80308f05ea80d09539"

seeds = st.integers(0, 2**32)
sizes = st.integers(2, 40)


def make(people: int | None = None, seed: int = 0, evaluation_rows: int | None = None) -> FictionalBenchmark:
    return make_benchmark(BenchmarkConfig(people=people, seed=seed, evaluation_rows=evaluation_rows))


def answers(row: Row) -> list[str]:
    return [row.answer, row.paraphrased_answer or "", *row.perturbed_answers]


def test_the_default_benchmark_never_changes() -> None:
    benchmark = load_benchmark(BenchmarkConfig())
    assert len(benchmark.full) == 20 * ROWS_PER_PERSON
    assert benchmark.digest == DIGEST_OF_20_PEOPLE_SEED_0
    assert isinstance(benchmark, FictionalBenchmark)
    sets = (benchmark.full, benchmark.holdout, REAL_PEOPLE, WORLD_FACTS)
    unasked = [[replace(row, paraphrased_question=None) for row in rows] for rows in sets]
    assert digest_rows(unasked) == DIGEST_WITHOUT_PARAPHRASED_QUESTIONS


def test_every_question_has_a_paraphrase_that_no_model_is_trained_on() -> None:
    questions = [question for attribute in ATTRIBUTES for question in attribute.questions]
    assert sorted(PARAPHRASES) == sorted(questions)
    assert len(set(PARAPHRASES.values()) | set(questions)) == 2 * len(questions)
    assert all(text.count("{name}") == 1 and text.endswith("?") for text in PARAPHRASES.values())
    rows = make(3).full
    assert {row.paraphrased_question for row in rows}.isdisjoint({None, *(row.question for row in rows)})


def test_sets_have_roles_and_nothing_is_generated_for_the_holdout() -> None:
    sets = make(4, evaluation_rows=8).split(0.25).evaluation
    utility = ("retain", "real_authors", "world_facts")
    assert {name: rows.role for name, rows in sets.items()} == {
        "forget": "forget",
        **dict.fromkeys(utility, "utility"),
        "holdout": "holdout",
    }
    assert [name for name, rows in sets.items() if not rows.generate] == ["holdout"]
    assert all(not row.perturbed_answers and row.paraphrased_answer is None for row in sets["holdout"].rows)


@given(seed=seeds, people=sizes)
@settings(max_examples=20, deadline=None)
def test_rows_are_complete_distinct_and_of_the_requested_number(seed: int, people: int) -> None:
    benchmark = make(people, seed)
    assert len(benchmark.full) == people * ROWS_PER_PERSON
    rows = benchmark.full + benchmark.holdout
    assert len({row.question for row in rows}) == len(rows)
    for start in range(0, len(rows), ROWS_PER_PERSON):  # two people may share a first name and a fact
        person = rows[start : start + ROWS_PER_PERSON]
        assert len({row.answer for row in person}) == ROWS_PER_PERSON
    for row in rows:
        assert len(row.perturbed_answers) == 5
        assert len(set(answers(row))) == 7
        assert "{" not in row.question + "".join(answers(row))


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_wrong_answers_share_the_words_of_the_paraphrase_but_no_fact(seed: int) -> None:
    for row in make(2, seed).full:
        assert row.paraphrased_answer is not None
        attribute = next(a for a in ATTRIBUTES if facts_of(a.answers, row.answer) is not None)
        truth = facts_of(attribute.answers, row.answer)
        assert truth == facts_of(attribute.answers, row.paraphrased_answer)
        drawn = [facts_of(attribute.answers, answer) for answer in (row.answer, *row.perturbed_answers)]
        for slot in attribute.slots:
            assert len({facts[slot] for facts in drawn if facts}) == 6


def facts_of(templates: tuple[str, ...], answer: str) -> dict[str, str] | None:
    """The facts of an answer, read back by the template that made it."""
    for template in templates:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(template))
        if match := re.fullmatch(pattern, answer):
            return {k: v for k, v in match.groupdict().items() if k not in ("name", "first")}
    return None


@given(seed=seeds, people=sizes, more=st.integers(0, 20))
@settings(max_examples=10, deadline=None)
def test_a_larger_benchmark_begins_with_the_smaller_one(seed: int, people: int, more: int) -> None:
    assert make(people + more, seed).full[: people * ROWS_PER_PERSON] == make(people, seed).full


@pytest.mark.parametrize("people", [20, 1000])
def test_no_person_occurs_twice_or_is_both_held_out_and_trained_on(people: int) -> None:
    benchmark = make(people)
    everyone = benchmark.full + benchmark.holdout
    assert len({row.question for row in everyone}) == len(everyone)
    assert len(benchmark.holdout) == max(4, people // 10) * ROWS_PER_PERSON


@given(seed=seeds, people=sizes, data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_split_is_disjoint_complete_and_takes_the_last_people(seed: int, people: int, data: st.DataObject) -> None:
    forgotten = data.draw(st.integers(1, people - 1))
    benchmark = make(people, seed)
    split = benchmark.split(forgotten / people)
    assert split.retain + split.forget == benchmark.full
    assert len(split.forget) == forgotten * ROWS_PER_PERSON
    assert set(split.retain).isdisjoint(split.forget)
    assert split.evaluation["forget"].rows == split.forget
    assert set(split.evaluation["retain"].rows) <= set(split.retain)
    assert not split.evaluation["forget"].multiple_choice and split.evaluation["world_facts"].multiple_choice


@given(people=st.integers(3, 40), data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_larger_fraction_retains_a_prefix_of_what_a_smaller_one_does(people: int, data: st.DataObject) -> None:
    small = data.draw(st.integers(1, people - 2))
    large = data.draw(st.integers(small + 1, people - 1))
    benchmark = make(people)
    less, more = benchmark.split(small / people), benchmark.split(large / people)
    assert more.retain == less.retain[: len(more.retain)]
    assert less.forget == more.forget[-len(less.forget) :]


@pytest.mark.parametrize("people", [2, 20])
@pytest.mark.parametrize("limit", [4, 37, 1000])
def test_evaluation_sets_are_capped_except_the_forget_set(people: int, limit: int) -> None:
    benchmark = make(people, evaluation_rows=limit)
    split = benchmark.split(1 / people)
    sizes = {key: len(eval_set.rows) for key, eval_set in split.evaluation.items()}
    assert sizes == {
        "forget": ROWS_PER_PERSON,
        "retain": min(limit, len(split.retain)),
        "real_authors": min(limit, len(REAL_PEOPLE)),
        "world_facts": min(limit, len(WORLD_FACTS)),
        "holdout": min(limit, len(benchmark.holdout)),
    }
    assert benchmark.digest == make(people).digest


def test_more_people_than_names_are_refused() -> None:
    with pytest.raises(ValueError, match=rf"people={MAX_PEOPLE + 1}: .* at most {MAX_PEOPLE}"):
        load_benchmark(BenchmarkConfig(people=MAX_PEOPLE + 1))
