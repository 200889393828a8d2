"""Greedy decoding gives the tokens of the library's own `generate`, for every way a batch can go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, MistralForCausalLM

from tests.trainables.evaluation.small import TEMPLATE, small_model, small_split, small_tokenizer, windowed_model
from trainables.data.tokenization import prompt_ids
from trainables.evaluation.decoding.greedy import generate
from trainables.evaluation.decoding.static import decode_static
from trainables.evaluation.decoding.static_cache_pool import StaticCachePool

Tokens = tuple[int, ...]


def library(model: LlamaForCausalLM | MistralForCausalLM, prompt: Tokens, limit: int, end: int) -> Tokens:
    ids = torch.tensor([prompt])
    whole = model.generate(  # type: ignore[misc]
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=end,
    )
    new = whole[0, len(prompt) :].tolist()
    return tuple(new[: new.index(end)] if end in new else new)


def prompts() -> list[Tokens]:
    rows = [row for rows in small_split().evaluation.values() for row in rows.rows]
    return [prompt_ids(TEMPLATE, small_tokenizer(), row.question) for row in rows]


def random_prompts(vocabulary: int, count: int) -> list[Tokens]:
    generator = torch.Generator().manual_seed(1)
    return [
        tuple(torch.randint(2, vocabulary, (int(torch.randint(1, 30, (1,), generator=generator)),)).tolist())
        for _ in range(count)
    ]


@pytest.mark.parametrize("limit", [1, 24])
def test_equals_the_library_where_rows_end_at_different_times(limit: int) -> None:
    model, end = small_model(), small_tokenizer().eos_token_id
    found = generate(model, prompts(), limit, {end}, end)
    assert found == [library(model, prompt, limit, end) for prompt in prompts()]
    if limit > 1:
        assert len({len(tokens) for tokens in found}) > 3, "the rows must end at different times to test anything"


def test_equals_the_library_beyond_several_growths_of_the_cache() -> None:
    """No row ever ends: 150 tokens from a token that is never the likeliest."""
    model = small_model()
    batch = prompts()[:3]
    never = -1
    found = generate(model, batch, 150, {never}, 0)
    assert [len(tokens) for tokens in found] == [150] * 3
    assert found == [library(model, prompt, 150, never) for prompt in batch]


def test_layers_with_a_sliding_window_keep_their_own_cache() -> None:
    model = windowed_model(60)
    batch = random_prompts(60, 12)
    found = generate(model, batch, 40, {5}, 0)
    assert found == [library(model, prompt, 40, 5) for prompt in batch]
    assert len({len(tokens) for tokens in found}) > 1


class Rows(torch.nn.Module):
    """Notes how many rows each forward pass has."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        super().__init__()
        self.model = model
        self.rows: list[int] = []

    def forward(self, **inputs: Any) -> Any:
        self.rows.append(len(inputs["input_ids"]))
        return self.model(**inputs)


def test_ended_rows_leave_the_batch_and_the_end_is_early() -> None:
    end = small_tokenizer().eos_token_id
    model = Rows(small_model())
    # The prompts that the model answers within ten tokens.
    batch = [p for p in prompts() if len(generate(small_model(), [p], 10, {end}, end)[0]) < 10]
    generate(model, batch, 200, {end}, end)
    assert len(model.rows) <= 10
    assert model.rows[0] == len(batch)
    assert model.rows[-1] < model.rows[0]


def test_a_batch_that_has_ended_goes_on_until_all_have() -> None:
    end = small_tokenizer().eos_token_id
    alone = generate(small_model(), prompts(), 24, {end}, end)
    model, asked = Rows(small_model()), []

    def others_need_thirty(mine: bool) -> bool:
        asked.append(mine)
        return mine and len(asked) >= 30

    short = [p for p, tokens in zip(prompts(), alone, strict=True) if len(tokens) < 20]
    expected = [tokens for tokens in alone if len(tokens) < 20]
    assert generate(model, short, 40, {end}, end, all_done=others_need_thirty) == expected
    assert len(model.rows) == len(asked) == 30
    assert asked.index(True) < 29
    assert model.rows[-1] == 1


class Votes:
    """Ranks as threads: each waits until all have voted. One that is left alone breaks the barrier, for all."""

    def __init__(self, ranks: int) -> None:
        self._barrier = threading.Barrier(ranks, timeout=20)
        self._votes = [False] * ranks

    def of(self, rank: int) -> Callable[[bool], bool]:
        def all_done(mine: bool) -> bool:
            self._votes[rank] = mine
            self._barrier.wait()
            everyone = all(self._votes)
            self._barrier.wait()
            return everyone

        return all_done


@pytest.mark.parametrize("way", ["growing", "fixed"])
def test_ranks_with_other_limits_make_equally_many_forward_passes(way: str) -> None:
    """The first rank's batch has come to its limit long before the second's."""
    batches, limits = (prompts()[:3], prompts()[3:5]), ([2, 3, 2], [4, 40])
    models, votes = [Rows(small_model()), Rows(small_model())], Votes(2)
    found: dict[int, list[Tokens]] = {}

    def work(rank: int) -> None:
        arguments = models[rank], batches[rank], limits[rank], {-1}
        if way == "growing":
            found[rank] = generate(*arguments, 0, votes.of(rank))
        else:
            found[rank] = decode_static(*arguments, votes.of(rank), "cpu", StaticCachePool()) or []

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models[0].rows) == len(models[1].rows) >= 40
    for rank in range(2):
        expected = [
            library(small_model(), prompt, limit, -1) for prompt, limit in zip(batches[rank], limits[rank], strict=True)
        ]
        assert found[rank] == expected
