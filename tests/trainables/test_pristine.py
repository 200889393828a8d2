"""Weights that stay in a worker: every trial starts from the same bits, wherever they stay, under every ZeRO stage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from tests.trainables.engine_runs import model
from tests.trainables.pristine_runs import FOLDER, PLACES, TRIALS, Case, cases, process, resident_of, trial
from trainables.group import Group
from trainables.pristine import borrowing_copy, fresh_copy

pytestmark = pytest.mark.timeout(900)  # the first test waits for all processes
LAYER = "model.layers.0.mlp.up_proj.weight"
Runs = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("pristine")
    for size in (1, 2):
        spawn(process, args=(size, str(folder)), nprocs=size)  # type: ignore[no-untyped-call]
    return {path.stem: load_file(path) for path in Path(folder).glob("*.safetensors")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("size", "case"), [(size, case) for size in (1, 2) for case in cases(size)], ids=str)
def test_no_bit_depends_on_where_the_weights_stay_or_on_earlier_trials(runs: Runs, size: int, case: Case) -> None:
    cold = runs[f"{size}-{case}-host-0"]
    assert not torch.equal(cold[LAYER].float(), model().state_dict()[LAYER])
    for place, number in TRIALS:
        assert same(runs[f"{size}-{case}-{place}-{number}"], cold), (place, number)


@pytest.mark.parametrize("size", [1, 2])
def test_trials_leave_the_weights_that_stay_alone(runs: Runs, size: int) -> None:
    untouched = {name: tensor for name, tensor in model().state_dict().items() if name != "lm_head.weight"}
    for place in PLACES:
        kept = {name.partition("/")[2]: it for name, it in runs[f"kept-{size}"].items() if name.startswith(place)}
        assert same(kept, untouched)


def test_a_copy_keeps_ties_and_buffers_and_shares_nothing() -> None:
    source = model()
    made = fresh_copy(source, source, "cpu")
    assert made.lm_head.weight is made.model.embed_tokens.weight
    assert torch.equal(made.model.rotary_emb.inv_freq, source.model.rotary_emb.inv_freq)
    theirs = {tensor.data_ptr() for tensor in (*source.parameters(), *source.buffers())}
    assert all(tensor.data_ptr() not in theirs for tensor in (*made.parameters(), *made.buffers()))
    assert all(parameter.requires_grad for parameter in made.parameters())


def test_a_borrowing_copy_copies_only_what_is_in_another_precision() -> None:
    source = model()
    pointers = [parameter.data_ptr() for parameter in source.parameters()]
    borrowed = borrowing_copy(source, source, torch.float32, "cpu")
    assert [parameter.data_ptr() for parameter in borrowed.parameters()] == pointers
    rounded = borrowing_copy(source, source, torch.bfloat16, "cpu")
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.bfloat16}
    assert rounded.model.rotary_emb.inv_freq.dtype == torch.float32
    assert {parameter.dtype for parameter in source.parameters()} == {torch.float32}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("stage", [0, 3])
def test_on_a_gpu_weights_that_stay_give_the_bits_of_a_cold_start(
    stage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "LOCAL_RANK", "0")
    monkeypatch.setitem(os.environ, "DS_ACCELERATOR", "cuda")
    torch.distributed.init_process_group("nccl", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        group, case = Group(0, 1, torch.device("cuda:0")), Case(stage, "bf16", adapters=False)
        cold = trial(resident_of(), "host", case, group)
        warm = resident_of()
        assert all(same(trial(warm, place, case, group), cold) for place in ("device", "device", "pinned", "pinned"))
        assert warm.weights(FOLDER, "bf16", "pinned", "cuda:0").lm_head.weight.is_pinned()
    finally:
        torch.distributed.destroy_process_group()
