"""Weights kept in a worker: every trial starts from the same bits, wherever they are kept, under every ZeRO stage.

The CPU stands in for a device: `device` and `pinned` weights take the same code path there.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests import tiny
from tests.tiny import PRECISIONS, STAGES, Tensors, same
from tests.trainables.model.test_lora import LORA, log_probs
from tests.trainables.training.engine_runs import model, step
from trainables.config import Precision
from trainables.inputs.cache import Loaded, WorkerCache
from trainables.model.copies import copy_to_device, share_weights
from trainables.model.gpu_share import WeightPlace
from trainables.runtime.ranks import Group
from trainables.training.engine import SHARDED_WEIGHTS, Engine

FOLDER = "kept"
LAYER = "model.layers.0.mlp.up_proj.weight"
PLACES: tuple[WeightPlace, ...] = ("host", "device", "pinned")
TRIALS: tuple[tuple[WeightPlace, int], ...] = (("host", 0), ("device", 0), ("device", 1), ("pinned", 0))


class Case(NamedTuple):
    stage: int
    precision: Precision
    adapters: bool

    def __str__(self) -> str:
        return f"{self.stage}-{self.precision}-{'adapters' if self.adapters else 'whole'}"


CASES = [Case(stage, precision, adapters) for stage in STAGES for precision in PRECISIONS for adapters in (False, True)]
FEW = [Case(0, "bf16", True), Case(3, "fp32", False)]


def on(size: int, cases: list[Case]) -> list[Case]:
    """Several workers differ from one only if they hold shards of the weights."""
    return [case for case in cases if size == 1 or case.stage == SHARDED_WEIGHTS]


def cache_of(folder: str = FOLDER) -> WorkerCache:
    """A cache that has the model as if it had been loaded from the folder."""
    cache = WorkerCache()
    cache.get("model", folder, lambda: Loaded(model(), None))
    return cache


def trial(cache: WorkerCache, place: WeightPlace, case: Case, group: Group) -> Tensors:
    """The results of one trial; weights on rank 0 only."""
    weights = cache.weights(FOLDER, case.precision, place, str(group.device))
    config, lora = tiny.workers(case.stage, case.precision, size=group.size), LORA if case.adapters else None
    pristine = cache.model(FOLDER).model
    engine = Engine(pristine, config, group, weights=weights, weight_decay=0.01, lora=lora, seed=3)
    engine.model.train()
    for _ in range(2):
        step(engine, group, 4)
    with engine.as_saved():  # merges adapters, and restores the kept weights
        merged = log_probs(engine.model)
    found = tiny.copied(engine.weights()) | {"log_probs": log_probs(engine.model).cpu(), "merged": merged.cpu()}
    engine.close()
    return found


def work(cases: list[Case], group: Group, folder: Path) -> None:
    """Consecutive trials from kept weights, and those weights afterwards."""
    warm = cache_of()
    for case in on(group.size, cases):
        found = {f"{group.size}-{case}-{p}-{number}": trial(warm, p, case, group) for p, number in TRIALS}
        tiny.keep(found, group, folder)
    states = {place: warm.weights(FOLDER, "fp32", place, "cpu").state_dict() for place in PLACES}
    tiny.keep({f"kept-{group.size}-{place}": tiny.copied(state) for place, state in states.items()}, group, folder)


@pytest.mark.parametrize("cases", [FEW, pytest.param(CASES, marks=pytest.mark.slow)], ids=["few", "all"])
def test_no_bit_depends_on_where_weights_are_kept_or_on_earlier_trials(cases: list[Case], tmp_path: Path) -> None:
    runs = tiny.spawned(partial(work, cases), tmp_path)
    untouched = tiny.copied(model().state_dict())
    for size in (1, 2):
        for case in on(size, cases):
            cold = runs[f"{size}-{case}-host-0"]
            assert not torch.equal(cold[LAYER].float(), untouched[LAYER]), case
            for place, number in TRIALS:
                assert same(runs[f"{size}-{case}-{place}-{number}"], cold), (case, place, number)
        assert all(same(runs[f"kept-{size}-{place}"], untouched) for place in PLACES), "a trial changed kept weights"


def test_a_copy_keeps_ties_and_buffers_and_shares_nothing() -> None:
    source = model()
    made = copy_to_device(source, source, "cpu")
    assert made.lm_head.weight is made.model.embed_tokens.weight
    assert torch.equal(made.model.rotary_emb.inv_freq, source.model.rotary_emb.inv_freq)
    theirs = {tensor.data_ptr() for tensor in (*source.parameters(), *source.buffers())}
    assert all(tensor.data_ptr() not in theirs for tensor in (*made.parameters(), *made.buffers()))
    assert all(parameter.requires_grad for parameter in made.parameters())


def test_sharing_copies_only_weights_in_another_precision() -> None:
    source = model()
    pointers = [parameter.data_ptr() for parameter in source.parameters()]
    borrowed = share_weights(source, source, torch.float32, "cpu")
    assert [parameter.data_ptr() for parameter in borrowed.parameters()] == pointers
    rounded = share_weights(source, source, torch.bfloat16, "cpu")
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.bfloat16}
    assert rounded.model.rotary_emb.inv_freq.dtype == torch.float32
    assert {parameter.dtype for parameter in source.parameters()} == {torch.float32}


@tiny.needs_engine_on_gpu
@pytest.mark.parametrize("stage", [0, 3])
def test_on_a_gpu_kept_weights_give_the_bits_of_a_cold_start(stage: int, gpu_group: Group) -> None:
    case, warm = Case(stage, "bf16", adapters=False), cache_of()
    places: tuple[WeightPlace, ...] = ("device", "device", "pinned", "pinned")
    with sdpa_kernel(SDPBackend.MATH):  # the others add up gradients in any order
        cold = trial(cache_of(), "host", case, gpu_group)
        assert all(same(trial(warm, place, case, gpu_group), cold) for place in places)
    assert warm.weights(FOLDER, "bf16", "pinned", "cuda:0").lm_head.weight.is_pinned()
