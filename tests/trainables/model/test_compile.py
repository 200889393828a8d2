"""Compiled layers: the same gradients, and few compilations for many batches."""

from __future__ import annotations

import copy
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from tests import tiny
from trainables.batching.packing import pack
from trainables.batching.rows import Encoded
from trainables.model import compile
from trainables.model.compile import SUPPRESS_ERRORS, cache_compiled, compile_layers, eager_mode, fused, should_compile
from trainables.model.scoring import score

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")


def model() -> Any:
    return tiny.llama(num_hidden_layers=3, num_attention_heads=2, head_dim=8, initializer_range=0.02)


def rows(seed: int) -> list[Encoded]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 11, (20,), generator=generator).tolist()
    return tiny.rows([(3, length) for length in lengths], seed)


def gradients(trained: Any, encoded: list[Encoded]) -> Tensor:
    trained.zero_grad()
    score(trained, pack(encoded, "cpu", filled=True)).sequence.mean().backward()  # type: ignore[no-untyped-call]
    return torch.cat([parameter.grad.flatten() for parameter in trained.parameters()])


@pytest.mark.slow  # a compiler runs
@needs_compiler
@pytest.mark.timeout(600)
def test_gradients_are_the_same_and_later_trials_compile_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    cache_compiled(tmp_path)
    torch._dynamo.reset()
    counters.clear()
    plain, trials = model(), [model(), model()]
    for trial in trials:
        assert compile_layers(trial) == 3
    graphs = []
    for trial in trials:
        for seed in range(4):
            expected = gradients(plain, rows(seed))
            torch.testing.assert_close(gradients(trial, rows(seed)), expected, rtol=1e-4, atol=1e-6)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert graphs[1] == graphs[0]
    assert any(tmp_path.rglob("*")), "compiled code is kept on disk"


@needs_compiler
def test_evaluation_runs_uncompiled() -> None:
    torch._dynamo.reset()
    counters.clear()
    trained = copy.deepcopy(model())
    compile_layers(trained)
    with eager_mode(), torch.no_grad():
        score(trained, pack(rows(0), "cpu"))
    assert counters["stats"]["unique_graphs"] == 0


def test_layers_are_compiled_on_gpus_or_on_request_but_never_sharded() -> None:
    assert not should_compile("auto", "cpu", sharded=False, packed=True)
    assert should_compile("auto", "cuda:1", sharded=False, packed=True)
    assert not should_compile("auto", "cuda:1", sharded=False, packed=False)
    assert not should_compile("off", "cuda", sharded=False, packed=True)
    assert should_compile("on", "cpu", sharded=False, packed=False)
    assert not should_compile("on", "cuda", sharded=True, packed=True)


def test_functions_are_compiled_with_the_same_settings_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backward passes on GPUs run in a thread of their own, and torch 2.13 has these settings per thread."""
    compile_layers(model(), backend="aot_eager")
    monkeypatch.setattr(compile, "_compiled", lambda function: function)
    seen: list[tuple[int, bool]] = []

    def settings(tensor: Tensor) -> None:
        seen.append((torch._dynamo.config.recompile_limit, torch._dynamo.config.suppress_errors))

    for _ in range(2):
        thread = threading.Thread(target=fused(settings), args=(torch.zeros(4),))
        thread.start()
        thread.join()
    assert seen == [(128, True)] * 2


@pytest.mark.parametrize(("asked", "suppressed"), [(None, True), ("1", True), ("0", False)])
def test_errors_of_the_compiler_are_raised_on_request(
    asked: str | None, suppressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if asked is None:
        monkeypatch.delenv(SUPPRESS_ERRORS, raising=False)
    else:
        monkeypatch.setenv(SUPPRESS_ERRORS, asked)
    with torch._dynamo.config.patch(suppress_errors=not suppressed):
        compile_layers(model(), backend="aot_eager")
        assert torch._dynamo.config.suppress_errors is suppressed
