"""Decoding in batches of fixed sizes gives the tokens of the growing cache and of the library, recorded steps too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from tests.trainables.evaluation.decoding.test_greedy import Rows, Tokens, library, prompts
from tests.trainables.evaluation.small import fresh_model, small_model, small_tokenizer, windowed_model
from trainables.evaluation.decoding.dynamic import decode_dynamic
from trainables.evaluation.decoding.static import decode_static, supports_static_cache
from trainables.evaluation.decoding.static_cache_pool import StaticCachePool
from trainables.runtime import fast_paths

NEVER = -1


class Recorded:
    """In a graph's place: the step runs directly, and is counted. What is recorded keeps its batch, as addresses do."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        self.recordings += 1
        step()

        def replay() -> None:
            self.replays += 1
            step()

        return replay


def fixed(
    batch: Sequence[Tokens],
    limits: Sequence[int],
    end: int,
    pool: StaticCachePool | None = None,
    model: Any = None,
) -> list[Tokens]:
    found = decode_static(model or small_model(), batch, limits, {end}, bool, "cpu", pool or StaticCachePool())
    assert found is not None
    return found


def growing(
    batch: Sequence[Tokens], limits: Sequence[int], end: int, model: Any = None, device: str = "cpu"
) -> list[Tokens]:
    return decode_dynamic(model or small_model(), batch, limits, {end}, 0, bool, device)


@cache
def shared_pool() -> StaticCachePool:
    """The cache that all examples share: no batch may see what an earlier one left behind."""
    return StaticCachePool(Recorded())


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Tokens], list[int], int]:
    """Prompts, limits, and the end: one that comes up, or one that never does."""
    vocabulary = len(small_tokenizer())
    tokens = st.lists(st.integers(2, vocabulary - 1), min_size=1, max_size=70).map(tuple)
    rows = draw(st.lists(st.one_of(st.sampled_from(prompts()), tokens), min_size=1, max_size=12))
    limits = draw(st.lists(st.integers(1, 90), min_size=len(rows), max_size=len(rows)))
    return rows, limits, draw(st.sampled_from([int(small_tokenizer().eos_token_id), NEVER]))


@settings(max_examples=15, deadline=None)
@given(batches())
def test_equals_the_growing_cache_and_the_library(batch: tuple[list[Tokens], list[int], int]) -> None:
    rows, limits, end = batch
    found = fixed(rows, limits, end)
    assert found == growing(rows, limits, end)
    assert found == fixed(rows, limits, end, shared_pool())
    longest = max(range(len(rows)), key=lambda i: limits[i])
    assert found[longest] == library(small_model(), rows[longest], limits[longest], end)


def test_rows_leave_and_batches_grow() -> None:
    """What the model knows ends early; a few rows of other tokens have no end before the limit."""
    end = int(small_tokenizer().eos_token_id)
    short = [
        p for p, found in zip(prompts(), growing(prompts(), [24] * len(prompts()), end), strict=True) if len(found) < 24
    ]
    endless = next(p for p in prompts() if len(growing([p], [150], NEVER)[0]) == 150)
    model, recorded = Rows(small_model()), Recorded()
    batch, limits = [*short, endless], [24] * len(short) + [150]
    found = fixed(batch, limits, NEVER, StaticCachePool(recorded), model)
    assert found == growing(batch, limits, NEVER)
    assert model.rows[1] >= len(batch)
    assert model.rows[-1] == 1, "the endless row must be alone at last"
    assert recorded.recordings > 2, "batches of several sizes must come up to test anything"


def test_later_batches_replay_what_was_recorded() -> None:
    recorded = Recorded()
    pool = StaticCachePool(recorded)
    batch, limits = prompts()[:4], [40] * 4
    expected = growing(batch, limits, NEVER)
    assert fixed(batch, limits, NEVER, pool) == expected
    first, steps = recorded.recordings, recorded.replays
    assert first == 1
    assert fixed(batch, limits, NEVER, pool) == expected
    assert recorded.recordings == first
    assert recorded.replays - steps > steps, "the first steps are replayed too"


def test_a_larger_batch_makes_all_recordings_void() -> None:
    """Its memory lies elsewhere."""
    recorded = Recorded()
    pool = StaticCachePool(recorded)
    for count, recordings in ((2, 1), (2, 1), (8, 2), (2, 3)):
        batch, limits = prompts()[:count], [40] * count
        assert fixed(batch, limits, NEVER, pool) == growing(batch, limits, NEVER)
        assert recorded.recordings == recordings
    assert pool.bytes > 0


def test_the_number_of_batches_is_bounded() -> None:
    recorded = Recorded()
    pool = StaticCachePool(recorded)
    for rows in range(20, 0, -1):
        fixed(prompts()[:1] * rows, [4] * rows, NEVER, pool)
    assert len(pool._batches) == len(pool._replays) == 16


def test_what_a_broken_model_left_behind_is_not_seen() -> None:
    """Masked slots are multiplied by zero, and NaN would stay NaN."""
    model, pool = fresh_model(), StaticCachePool()
    batch, limits = prompts()[:4], [40] * 4
    weight = model.model.layers[0].self_attn.v_proj.weight
    with torch.no_grad():
        sound = weight.clone()
        weight.fill_(math.nan)
        fixed(batch, limits, NEVER, pool, model)
        weight.copy_(sound)
    assert fixed(batch[:2], [9, 9], NEVER, pool, model) == growing(batch[:2], [9, 9], NEVER, model)


def test_layers_with_other_caches_are_left_to_the_growing_way() -> None:
    model = windowed_model(len(small_tokenizer()))
    assert decode_static(model, prompts()[:2], [4, 4], {NEVER}, bool, "cpu", StaticCachePool()) is None


@pytest.mark.parametrize(("implementation", "takes"), [("sdpa", True), ("letheon_packed", True), ("eager", False)])
def test_only_attention_that_takes_a_finished_mask(implementation: str, takes: bool) -> None:
    import trainables.model.packed_attention  # noqa: F401 (registers its implementation)

    model: LlamaForCausalLM = fresh_model()
    model.set_attn_implementation(implementation)
    assert supports_static_cache(model) is takes
    if takes:
        assert fixed(prompts()[:3], [12] * 3, NEVER, model=model) == growing(
            prompts()[:3], [12] * 3, NEVER, fresh_model()
        )


def test_a_module_without_a_configuration_is_left_to_the_growing_way() -> None:
    assert not supports_static_cache(Rows(small_model()))


class FailsToRecord:
    """A recorder that runs the step and fails in the recording, as CUDA does with a step that it cannot record."""

    def __init__(self) -> None:
        self.tries = 0

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        self.tries += 1
        step()
        raise RuntimeError("operation not permitted when stream is capturing")


class RecordsWrongly(Recorded):
    """Replays skip every step: what the graph wrote lies elsewhere."""

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        super().__call__(step)
        return lambda: None


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not used any fast path."""
    monkeypatch.setattr(fast_paths, "_states", {})


@pytest.mark.usefixtures("fresh")
def test_a_failed_recording_leaves_the_plain_steps_tokens(caplog: pytest.LogCaptureFixture) -> None:
    recorder = FailsToRecord()
    pool, limits = StaticCachePool(recorder), [40] * 4
    for _ in range(2):
        assert fixed(prompts()[:4], limits, NEVER, pool) == fixed(prompts()[:4], limits, NEVER)
    assert recorder.tries == 1, "nothing is recorded any more"
    assert "capturing" in fast_paths.states()["recorded decoding"]
    assert len(caplog.messages) == 1


@pytest.mark.usefixtures("fresh")
def test_a_wrong_recording_leaves_the_plain_steps_tokens() -> None:
    recorder = RecordsWrongly()
    found = fixed(prompts()[:4], [90] * 4, NEVER, StaticCachePool(recorder))
    assert found == fixed(prompts()[:4], [90] * 4, NEVER)
    assert recorder.recordings == 1
    assert fast_paths.states()["recorded decoding"].startswith("off: values differ by inf")


@pytest.mark.usefixtures("fresh")
def test_a_right_recording_is_on() -> None:
    recorder = Recorded()
    assert fixed(prompts()[:4], [40] * 4, NEVER, StaticCachePool(recorder)) == fixed(prompts()[:4], [40] * 4, NEVER)
    assert recorder.replays > recorder.recordings
    assert fast_paths.states()["recorded decoding"] == "on"
