"""Sampling against the distribution it samples from, against greedy decoding, and what it must not depend on."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chisquare

from tests.trainables.evaluation.small import TEMPLATE, small_model, small_split, small_tokenizer
from trainables.data.tokenization import prompt_ids
from trainables.evaluation.decoding.greedy import generate
from trainables.evaluation.decoding.sampling import draw, sample, uniforms

TOKENS = 20


@cache
def prompts() -> tuple[tuple[int, ...], ...]:
    rows = [row for rows in small_split().evaluation.values() for row in rows.rows][:14]
    return tuple(prompt_ids(TEMPLATE, small_tokenizer(), row.question) for row in rows)


def end() -> int:
    return int(small_tokenizer().eos_token_id)


def draws(numbers: list[int], samples: int, tokens: int = TOKENS) -> NDArray[np.float64]:
    return np.stack([uniforms(3, number, samples, tokens) for number in numbers])


def sampled(numbers: list[int], samples: int, temperature: float = 1.0) -> list[list[tuple[int, ...]]]:
    batch = [prompts()[number] for number in numbers]
    return sample(small_model(), batch, draws(numbers, samples), temperature, end())


def by_hand(prompt: tuple[int, ...], uniform: NDArray[np.float64], temperature: float) -> tuple[int, ...]:
    """One sample, without cache, batch or padding: each token from the whole text so far, in float64."""
    text = list(prompt)
    for number in uniform:
        with torch.no_grad():
            logits = small_model()(input_ids=torch.tensor([text])).logits[0, -1].double().numpy()
        shares = np.exp((logits - logits.max()) / temperature)
        token = int(np.searchsorted(np.cumsum(shares), number * shares.sum(), side="right"))
        if token == end():
            break
        text.append(token)
    return tuple(text[len(prompt) :])


def test_equals_the_sampling_by_hand() -> None:
    numbers = list(range(len(prompts())))
    found = sampled(numbers, 3, temperature=0.7)
    expected = [[by_hand(prompts()[i], row, 0.7) for row in uniforms(3, i, 3, TOKENS)] for i in numbers]
    assert found == expected
    assert len({len(answer) for answers in found for answer in answers}) > 3, "rows must end at different times"
    assert any(len(set(answers)) > 1 for answers in found), "samples must differ to test anything"


def test_a_temperature_near_zero_is_greedy() -> None:
    numbers = list(range(len(prompts())))
    greedy = generate(small_model(), list(prompts()), TOKENS, {end()}, end())
    for temperature in (1e-4, 1e-38):
        assert sampled(numbers, 2, temperature) == [[answer, answer] for answer in greedy]


def test_a_sample_does_not_depend_on_the_batch() -> None:
    together = sampled(list(range(6)), 4)
    assert [sampled([number], 4)[0] for number in range(6)] == together
    assert [answers[:2] for answers in together] == sampled(list(range(6)), 2), "more samples keep the first ones"


def test_streams_differ_by_seed_row_and_sample() -> None:
    streams = [uniforms(seed, row, 3, 8) for seed in (0, 1) for row in (0, 1, 2)]
    assert len({tuple(stream) for block in streams for stream in block.tolist()}) == 18
    assert np.array_equal(uniforms(0, 5, 2, 8), uniforms(0, 5, 2, 8))
    assert np.array_equal(uniforms(0, 5, 2, 4), uniforms(0, 5, 2, 8)[:, :4])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_the_distribution_says(temperature: float) -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, -math.inf])
    count = 20_000
    uniform = torch.from_numpy(np.random.default_rng(0).random(count))
    found = torch.bincount(draw(logits.expand(count, -1), temperature, uniform), minlength=5)
    expected = (logits / temperature).softmax(-1).double() * count
    assert found[4] == 0
    assert chisquare(found[:4].numpy(), (expected[:4] * (count / expected[:4].sum())).numpy()).pvalue > 1e-4


def test_the_ends_of_the_unit_interval() -> None:
    """The first token that can come, and the last: rounding must never give an id beyond the vocabulary."""
    logits = torch.tensor([[-math.inf, 1.0, 2.0, -math.inf]] * 2)
    assert draw(logits, 1.0, torch.tensor([0.0, 1.0 - 2**-53], dtype=torch.float64)).tolist() == [1, 2]
    broken = torch.full((1, 4), math.nan)
    assert 0 <= int(draw(broken, 1.0, torch.tensor([0.5]))) < 4


def test_a_batch_that_has_ended_goes_on_until_all_have() -> None:
    alone = sampled(list(range(8)), 2)
    asked: list[bool] = []

    def others_need_all(mine: bool) -> bool:
        asked.append(mine)
        return mine and len(asked) >= TOKENS

    short = [i for i, answers in enumerate(alone) if max(map(len, answers)) < TOKENS - 2]
    assert short, "some prompts must end early to test anything"
    batch = [prompts()[i] for i in short]
    found = sample(small_model(), batch, draws(short, 2), 1.0, end(), others_need_all)
    assert found == [alone[i] for i in short]
    assert len(asked) == TOKENS
    assert asked.index(True) < TOKENS - 1
