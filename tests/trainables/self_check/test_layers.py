"""The ways through a decoder layer agree, and a wrong one is found and switched off."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from tests import tiny
from tests.trainables.model import varlen_on_cpu
from trainables.batching import packing
from trainables.batching.packing import pack
from trainables.model import compile, packed_attention
from trainables.model.compile import compile_layers, should_compile
from trainables.model.cpu import patch
from trainables.model.cpu.patch import patch_for_cpu
from trainables.model.cpu.rms_norm import rms_norm
from trainables.model.packed_attention import takes_packed
from trainables.model.scoring import score
from trainables.runtime import fast_paths
from trainables.runtime.fast_paths import TOLERANCE, difference, states
from trainables.runtime.ranks import Group
from trainables.self_check import layers
from trainables.self_check.compiled_layers import prove_compiled
from trainables.self_check.layers import layer_ways, prove_layers

ROWS = tiny.rows([(3, 9), (5, 4), (2, 20), (7, 7), (6, 30)])
WRONG = 1.01


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not used any path."""
    monkeypatch.setattr(fast_paths, "_states", {})
    monkeypatch.setattr(fast_paths, "_proved", set())


def model(**changes: Any) -> Any:
    made = tiny.llama(**{"head_dim": 8, "hidden_size": 32, "initializer_range": 0.1, **changes}).eval()
    patch_for_cpu(made)
    return made


@pytest.fixture
def kernel_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator of the GPU kernel, for CPUs."""
    varlen_on_cpu.register()
    for module in (packing, layers):
        monkeypatch.setattr(module, "device_has_kernel", lambda device: True)


def scaled(function: Callable[..., Tensor], factor: float = WRONG) -> Callable[..., Tensor]:
    return lambda *arguments, **others: function(*arguments, **others) * factor


@pytest.mark.usefixtures("kernel_on_cpu")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_ways_agree(dtype: torch.dtype) -> None:
    ways = layer_ways(model(), ROWS, dtype, "cpu")
    half = ["packed attention kernel"] if dtype == torch.bfloat16 else []
    assert set(ways) == {"packed rectangles", "lean layers", *half}
    for fast, plain in ways.values():
        found = difference(fast(), plain())
        assert found.gradients is not None
        assert max(found.values, found.gradients) < TOLERANCE[dtype] / 2


def test_a_comparison_changes_nothing_and_runs_one_layer() -> None:
    made, calls = model(num_hidden_layers=5), list[Any]()
    before = {name: weight.clone() for name, weight in made.state_dict().items()}
    random = torch.get_rng_state()
    for layer in made.model.layers:
        layer.register_forward_hook(lambda layer, *_: calls.append(layer))
    prove_layers(made, ROWS, torch.float32, Group())
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(weight, before[name]) for name, weight in made.state_dict().items())
    assert all(parameter.grad is None for parameter in made.parameters())
    assert not set(map(id, calls)) & set(map(id, made.model.layers)), "only copies of the first layer run"
    assert calls
    assert states()["packed rectangles"] == states()["lean layers"] == "on"


def test_a_wrong_kernel_is_switched_off(monkeypatch: pytest.MonkeyPatch, kernel_on_cpu: None) -> None:
    right = packed_attention._by_kernel
    monkeypatch.setattr(packed_attention, "_by_kernel", scaled(right, 1.1))
    prove_layers(model(), ROWS, torch.bfloat16, Group())
    assert states()["packed attention kernel"].startswith("off: values differ by ")
    assert states()["packed rectangles"] == "on"
    assert not pack(ROWS, "cpu").packing.kernel, "rows take the rectangles from now on"


def test_a_kernel_that_raises_is_switched_off(monkeypatch: pytest.MonkeyPatch, kernel_on_cpu: None) -> None:
    def raises(*_: Any) -> Tensor:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(packed_attention, "_by_kernel", raises)
    prove_layers(model(), ROWS, torch.bfloat16, Group())
    assert states()["packed attention kernel"] == "off: it raised RuntimeError: no kernel image is available"
    assert not pack(ROWS, "cpu").packing.kernel


def test_wrong_rectangles_mean_padded_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_attention, "_by_rectangles", scaled(packed_attention._by_rectangles))
    made = model()
    prove_layers(made, ROWS, torch.float32, Group())
    assert states()["packed rectangles"].startswith("off: values differ by ")
    assert not takes_packed(made)
    assert states()["lean layers"] == "on"


def test_a_wrong_gradient_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, states: Tensor) -> Tensor:
            return states.clone()

        @staticmethod
        def backward(context: Any, *gradients: Tensor) -> Tensor:
            return gradients[0] * WRONG

    right = packed_attention._by_rectangles
    monkeypatch.setattr(
        packed_attention,
        "_by_rectangles",
        lambda *given: Wrong.apply(right(*given)),  # type: ignore[no-untyped-call]
    )
    prove_layers(model(), ROWS, torch.float32, Group())
    found = re.findall(r"by (\S+)", states()["packed rectangles"])
    assert float(found[0]) < TOLERANCE[torch.float32] < float(found[1]) < 2 * (WRONG - 1)


def test_lean_layers_that_differ_leave_the_librarys_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    made, plain = model(), tiny.llama(head_dim=8, hidden_size=32, initializer_range=0.1).eval()
    monkeypatch.setattr(patch, "rms_norm", scaled(rms_norm))
    prove_layers(made, ROWS, torch.float32, Group())
    assert states()["lean layers"].startswith("off: values differ by ")
    with torch.no_grad():
        expected, found = (score(each, pack(ROWS, "cpu")).token_log_probs for each in (plain, made))
    assert torch.equal(found, expected)


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Afterwards other tests may compile again."""
    monkeypatch.setattr(compile, "_compiling", set())
    torch._dynamo.reset()
    counters.clear()
    yield
    torch.compiler.set_stance("default")
    torch._dynamo.reset()


@pytest.mark.usefixtures("compiling")
def test_nothing_is_compiled_for_the_comparison_alone() -> None:
    made, batch = model(), pack(ROWS, "cpu", filled=True)
    compile_layers(made, backend="aot_eager")
    assert prove_compiled(made, batch, Group())
    assert states()["compiled layers"] == "on"
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0
    (-score(made, batch).sequence.sum()).backward()  # type: ignore[no-untyped-call]
    assert counters["stats"]["unique_graphs"] == graphs
    assert torch._dynamo.config.suppress_errors, "later sizes that do not compile run uncompiled"


def cannot(graph: Any, inputs: Any) -> Any:
    raise RuntimeError("no compiler found")


def wrongly(graph: Any, inputs: Any) -> Any:
    return lambda *given: [each * WRONG for each in graph(*given)]


@pytest.mark.usefixtures("compiling")
@pytest.mark.parametrize(("backend", "why"), [(cannot, "no compiler found"), (wrongly, "values differ by")])
def test_layers_that_compile_to_something_else_run_uncompiled(backend: Any, why: str) -> None:
    made, batch = model(), pack(ROWS, "cpu", filled=True)
    expected = score(copy.deepcopy(made), batch).token_log_probs
    compile_layers(made, backend=backend)
    assert not prove_compiled(made, batch, Group())
    assert why in states()["compiled layers"]
    torch.testing.assert_close(score(made, batch).token_log_probs, expected, rtol=1e-5, atol=1e-5)
    assert not should_compile("on", "cpu", sharded=False, packed=True), "the next trial of the process compiles nothing"
