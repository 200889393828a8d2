"""Fractions are whole people or refused with a way out; thinning is even; digests see every field."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import Row, fraction_problem, load_benchmark
from trainables.data.splitting import ROWS_PER_PERSON, digest_rows, thin
from trainables.data.splitting import fraction_problem as people_fraction_problem

ROW = Row("q", "a", "p", ("w", "v"))


@given(people=st.integers(2, 500), fraction=st.floats(allow_nan=True, allow_infinity=True))
def test_a_refusal_names_value_and_fractions_that_are_accepted(people: int, fraction: float) -> None:
    problem = people_fraction_problem(fraction, people)
    share = fraction * people
    whole = math.isfinite(share) and abs(share - round(share)) <= 1e-9 and 1 <= round(share) <= people - 1
    assert (problem is None) == whole
    if problem is not None:
        assert repr(fraction) in problem
        offered = [float(f.partition(" (")[0]) for f in re.split(" or ", problem.rpartition("use ")[2])]
        assert offered and all(people_fraction_problem(f, people) is None for f in offered)


@pytest.mark.parametrize("fraction", [0.07, 0.01, 0.001, 1.0, 0.0, -0.1])
def test_a_split_refuses_what_the_check_refuses(fraction: float) -> None:
    config = BenchmarkConfig(people=20)
    benchmark = load_benchmark(config)
    problem = benchmark.check_fraction(fraction)
    assert problem is not None and problem == fraction_problem(config, fraction)
    with pytest.raises(ValueError, match=re.escape(problem)):
        benchmark.split(fraction)


@given(count=st.integers(1, 400), limit=st.integers(4, 100))
def test_thinning_takes_one_row_of_each_equal_stretch(count: int, limit: int) -> None:
    rows = tuple(Row(str(i), "") for i in range(count))
    thinned = [int(row.question) for row in thin(rows, limit)]
    assert len(thinned) == min(limit, count)
    assert thinned == sorted(set(thinned))
    if limit < count:
        assert all(i * count // limit <= place < (i + 1) * count // limit for i, place in enumerate(thinned))
    assert thin(rows, None) == rows


@pytest.mark.parametrize(("people", "limit"), [(16, 40), (18, 36), (180, 90)])
def test_thinning_reaches_every_question_of_a_person(people: int, limit: int) -> None:
    rows = tuple(Row(str(i % ROWS_PER_PERSON), "") for i in range(people * ROWS_PER_PERSON))
    assert len({row.question for row in thin(rows, limit)}) >= 16


@pytest.mark.parametrize(
    "other",
    [
        replace(ROW, question="x"),
        replace(ROW, answer="x"),
        replace(ROW, paraphrased_answer=None),
        replace(ROW, perturbed_answers=("w",)),
        replace(ROW, perturbed_answers=("v", "w")),
        replace(ROW, paraphrased_question="x"),
        replace(ROW, raw=True),
    ],
)
def test_the_digest_sees_every_field(other: Row) -> None:
    assert digest_rows([[ROW]]) != digest_rows([[other]])
    assert digest_rows([[ROW], []]) != digest_rows([[], [ROW]])
