"""Which batches are kept and how long; on a GPU, that a replayed graph generates what plain steps do."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch

from tests.trainables.evaluation.decoding.test_greedy import prompts
from tests.trainables.evaluation.decoding.test_static import NEVER, growing
from tests.trainables.evaluation.small import fresh_model, small_model, small_tokenizer
from trainables.config import LoraConfig
from trainables.evaluation.decoding import cuda_graphs
from trainables.evaluation.decoding.cuda_graphs import DecodeCache, signature_of
from trainables.evaluation.decoding.greedy import generate
from trainables.evaluation.decoding.static import decode_static
from trainables.evaluation.decoding.static_cache import BatchSize
from trainables.evaluation.decoding.static_cache_pool import StaticCachePool
from trainables.model.lora import add_adapters, merged

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def on_gpu(model: Any) -> Any:
    return copy.deepcopy(model).to("cuda")


def test_a_model_keeps_its_batches_while_its_weights_stay_where_they_are() -> None:
    cache, model = DecodeCache(), fresh_model()
    pool = cache.pool(model, StaticCachePool)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)  # as an optimizer does it: in place
    assert cache.pool(model, StaticCachePool) is pool
    model.model.norm.weight.data = model.model.norm.weight.data.clone()
    moved = cache.pool(model, StaticCachePool)
    assert moved is not pool
    assert cache.pool(fresh_model(), StaticCachePool) is not moved


def test_what_decides_the_code_that_runs_is_in_the_signature() -> None:
    model = fresh_model()
    plain = signature_of(model)
    model.set_attn_implementation("eager")
    assert signature_of(model) != plain
    pristine = fresh_model()
    adapted = copy.deepcopy(pristine)
    add_adapters(adapted, LoraConfig(rank=2), seed=0)
    apart = signature_of(adapted)
    with merged(adapted, pristine):
        assert signature_of(adapted) != apart
    assert signature_of(adapted) == apart


def test_batches_go_with_their_model_and_do_not_hold_it() -> None:
    cache, model = DecodeCache(), fresh_model()
    pool = cache.pool(model, StaticCachePool)
    decode_static(model, prompts()[:2], [8, 8], {NEVER}, bool, "cpu", pool)
    assert cache.bytes == pool.bytes > 0
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert cache.bytes == 0


def test_a_later_batch_whose_sizes_are_rounded_up_further_costs_no_recording() -> None:
    model, pool = fresh_model(), StaticCachePool(lambda step: step)
    cache = model(torch.ones(1, 2, dtype=torch.int64), use_cache=True).past_key_values
    pool.reserve(cache, BatchSize(16, 1024))
    batch, held = pool.batch(BatchSize(16, 1024), "cpu"), pool.bytes
    pool.reserve(cache, BatchSize(18, 1024 + 64))  # the next sizes of both
    assert pool.bytes == held
    assert pool.batch(BatchSize(16, 1024), "cpu") is batch


def test_only_little_is_kept_after_an_evaluation() -> None:
    cache, model = DecodeCache(), fresh_model()
    pool = cache.pool(model, StaticCachePool)
    decode_static(model, prompts()[:2], [8, 8], {NEVER}, bool, "cpu", pool)
    cache.release(pool.bytes)
    assert cache.pool(model, StaticCachePool) is pool
    cache.release(pool.bytes - 1)
    assert cache.bytes == 0
    assert cache.pool(model, StaticCachePool) is not pool


@needs_gpu
@pytest.mark.parametrize("limit", [2, 24, 150])
def test_replayed_graphs_write_what_plain_steps_write(limit: int) -> None:
    end = int(small_tokenizer().eos_token_id)
    model = on_gpu(small_model())
    limits = [limit] * len(prompts())
    expected = growing(prompts(), limits, end, model, "cuda")
    plain = decode_static(model, prompts(), limits, {end}, bool, "cuda", StaticCachePool())
    assert plain == expected
    for _ in range(2):
        assert generate(model, prompts(), limits, {end}, end, device="cuda") == expected
    kept = cuda_graphs.decode_cache._kept
    assert kept is not None
    assert limit < 4 or kept.pool._replays, "a step must have been recorded"


@needs_gpu
def test_graphs_see_weights_that_change_in_place() -> None:
    model = on_gpu(small_model())
    limits = [40] * 4
    generate(model, prompts()[:4], limits, {NEVER}, 0, device="cuda")
    other = fresh_model(seed=1)
    with torch.no_grad():
        for mine, new in zip(model.parameters(), other.parameters(), strict=True):
            mine.copy_(new)
    found = generate(model, prompts()[:4], limits, {NEVER}, 0, device="cuda")
    assert found == growing(prompts()[:4], limits, NEVER, on_gpu(other), "cuda")
    cuda_graphs.release("cuda")
