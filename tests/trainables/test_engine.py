"""The engine under ZeRO 0 to 3, fp32 and bf16, 1 and 2 workers: one update in all; restarts change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from tests.trainables.engine_runs import PRECISIONS, STAGES, model, process

BF16_SHARE = 0.35  # Adam turns rounding of near-zero gradients into whole steps, so single weights may differ fully


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("engine")
    for size in (1, 2):
        spawn(process, args=(size, str(folder)), nprocs=size)  # type: ignore[no-untyped-call]
    return {path.stem: load_file(path) for path in Path(folder).glob("*.safetensors")}


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", [1, 2])
def test_a_restart_from_the_state_changes_no_bit(
    runs: dict[str, dict[str, Tensor]], size: int, stage: int, precision: str
) -> None:
    name = f"{size}-{stage}-{precision}-4"
    assert largest_difference(runs[f"{name}-whole"], runs[f"{name}-restarted"]) == 0.0


@pytest.mark.parametrize("stage", STAGES)
def test_the_update_does_not_depend_on_workers_or_micro_batches(runs: dict[str, dict[str, Tensor]], stage: int) -> None:
    reference = runs["1-0-fp32-4-whole"]
    for size in (1, 2):
        for micro in (1, 4):
            assert largest_difference(reference, runs[f"{size}-{stage}-fp32-{micro}-whole"]) < 1e-5


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("size", [1, 2])
def test_bf16_follows_fp32(runs: dict[str, dict[str, Tensor]], size: int, stage: int) -> None:
    exact, rounded = runs["1-0-fp32-4-whole"], runs[f"{size}-{stage}-bf16-4-whole"]
    untouched = model().state_dict()
    moved = sum(float((exact[name] - untouched[name]).abs().sum()) for name in exact)
    apart = sum(float((exact[name] - rounded[name]).abs().sum()) for name in exact)
    assert 0 < apart < BF16_SHARE * moved


def test_training_moved_the_weights_and_left_the_pristine_model_alone(runs: dict[str, dict[str, Tensor]]) -> None:
    untouched = {name: weights for name, weights in model().state_dict().items() if name != "lm_head.weight"}
    assert largest_difference(untouched, runs["1-0-fp32-4-whole"]) > 1e-3
