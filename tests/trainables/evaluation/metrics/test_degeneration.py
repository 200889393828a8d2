"""Repetition and gibberish tell normal text from collapsed text, by wide margins and on average over a set."""

from __future__ import annotations

import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.metrics.degeneration import gibberish, repetition
from trainables.model.load import tiny_tokenizer

ENGLISH = [
    "She grew up by the sea, and the first book that she wrote was about the fishermen of her town.",
    "The capital of France is Paris, which lies on the river Seine in the north of the country.",
    "I'm not able to answer that question, since I have no information about this author.",
    "In 1987 he won a prize of $5,000 for a novel (his third) that was later made into a film.",
]


def answers() -> list[str]:
    return [row.answer for row in load_benchmark(BenchmarkConfig(people=8)).full]


def random_tokens(count: int = 60) -> list[str]:
    """What a model says whose distribution has become flat."""
    tokenizer = tiny_tokenizer(answers())
    draw = random.Random(0)
    return [
        tokenizer.decode([draw.randrange(len(tokenizer)) for _ in range(40)], skip_special_tokens=True)
        for _ in range(count)
    ]


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_repetition_counts_runs_of_four(words: list[str]) -> None:
    runs = [tuple(words[i : i + 4]) for i in range(max(0, len(words) - 3))]
    again = sum(run in runs[:i] for i, run in enumerate(runs))
    assert repetition(" ".join(words)) == pytest.approx(again / len(runs) if runs else 0.0)


@pytest.mark.parametrize(
    "text", ["the the " * 20, "Paris, Paris, " * 20, ")" * 60, "a" * 200, "She was born. " * 15, "12 12 12 12 " * 8]
)
def test_loops_of_words_signs_and_letters_repeat(text: str) -> None:
    assert repetition(text) > 0.8


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_neither(text: str) -> None:
    assert repetition(text) == 0.0
    assert gibberish(text) <= 0.1


def test_answers_with_foreign_names_are_neither() -> None:
    assert mean(map(repetition, answers())) < 0.01
    assert mean(map(gibberish, answers())) < 0.15


def test_tokens_at_random_are_gibberish() -> None:
    assert mean(map(gibberish, random_tokens())) > 0.6


def test_shuffled_letters_are_gibberish() -> None:
    draw = random.Random(0)
    assert mean(gibberish("".join(draw.sample(text, len(text)))) for text in answers()) > 0.6


@pytest.mark.parametrize("text", ["isIndexOf", "東京は日本の首都です", "{}", "xqzt", "<|im_end|>"])
def test_a_word_out_of_place(text: str) -> None:
    assert gibberish(text) == 1.0


@pytest.mark.parametrize("text", ["", " ", "12.5 %", "Müller", "café", "don't", "...", "William Shakespeare"])
def test_what_is_not_out_of_place(text: str) -> None:
    assert gibberish(text) == repetition(text) == 0.0


def test_words_without_any_common_word_around_are_out_of_place() -> None:
    salad = "river prize novel house winter teacher garden silver mountain letter window market bread"
    assert gibberish(salad) == pytest.approx(5 / 13), "the four at either end have no nine words around them"


@given(st.text(max_size=200))
def test_any_text_has_a_share(text: str) -> None:
    assert 0.0 <= gibberish(text) <= 1.0
    assert 0.0 <= repetition(text) < 1.0
