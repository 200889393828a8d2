"""Fast paths that differ or raise are switched off once, for all ranks; what agrees is compared once."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.runtime import fast_paths
from trainables.runtime.fast_paths import (
    FAST_PATHS,
    Difference,
    FastPath,
    Outcome,
    allowed,
    combined,
    difference,
    disagreement,
    prove,
    states,
    switch_off,
    without,
)
from trainables.runtime.ranks import Group

NUMBERS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not used any path."""
    monkeypatch.setattr(fast_paths, "_states", {})
    monkeypatch.setattr(fast_paths, "_proved", set())


class Compared:
    """Two ways, of which the fast one is off by `error` or raises it; counts comparisons."""

    def __init__(self, error: float | Exception = 0.0) -> None:
        self.error, self.times = error, 0

    def fast(self) -> Outcome:
        self.times += 1
        if isinstance(self.error, Exception):
            raise self.error
        return Outcome([torch.ones(1) + self.error])

    def proves(self, path: FastPath, kind: str | None = "llama", group: Group | None = None) -> bool:
        return prove(path, kind, (self.fast, lambda: Outcome([torch.ones(1)])), 1e-4, group)


class OtherRankRefuses(Group):
    """A group in which another rank has found a difference."""

    def gather(self, items: Sequence[Any]) -> list[Any]:
        return [*items, "off: values differ there"]


@given(NUMBERS, st.floats(1e-3, 1e3))
def test_the_difference_is_a_share_of_the_length(numbers: list[float], factor: float) -> None:
    plain = torch.tensor(numbers, dtype=torch.float64)
    fast = plain.clone()
    fast[0] += 0.25
    length = float(plain.norm()) or 1.0
    assert difference(Outcome([fast]), Outcome([plain])).values == pytest.approx(0.25 / length)
    scaled = difference(Outcome([plain], [fast * factor]), Outcome([plain], [plain * factor]))
    assert scaled.values == 0.0
    if plain.abs().max() > 0:
        assert scaled.gradients == pytest.approx(0.25 / length)


def test_a_tiny_gradient_counts_by_a_hundredth_of_the_largest() -> None:
    large, small = torch.tensor([1000.0]), torch.tensor([1e-9])
    found = difference(Outcome([], [large, 2 * small]), Outcome([], [large, small]))
    assert found.gradients == pytest.approx(1e-10)


@pytest.mark.parametrize(
    ("fast", "plain"),
    [
        ([torch.ones(2)], [torch.ones(3)]),
        ([torch.ones(2)], []),
        ([torch.tensor([1.0, math.nan])], [torch.ones(2)]),
        ([torch.ones(2)], [torch.tensor([1.0, math.inf])]),
        ([torch.tensor([7, 8])], [torch.tensor([7, 9])]),
    ],
    ids=["shape", "count", "nan", "inf", "token"],
)
def test_what_cannot_be_compared_differs_infinitely(fast: list[torch.Tensor], plain: list[torch.Tensor]) -> None:
    assert difference(Outcome(fast), Outcome(plain)).values == math.inf
    assert disagreement(difference(Outcome(fast), Outcome(plain)), 1.0) is not None


def test_equal_infinities_and_nans_do_not_differ() -> None:
    odd = torch.tensor([math.nan, math.inf, -math.inf, 1.0])
    assert difference(Outcome([odd], [odd]), Outcome([odd], [odd])) == Difference(0.0, 0.0)


def test_a_path_is_compared_once_for_each_kind_of_model() -> None:
    compared = Compared()
    assert all(compared.proves("lean layers", kind) for kind in ("llama", "llama", "gemma", "gemma"))
    assert compared.times == 2
    assert all(compared.proves("lean layers", None) for _ in range(3))
    assert compared.times == 5, "without a kind, in every call"
    assert states()["lean layers"] == "on"
    assert states()["prefix tree"] == "not used"


@pytest.mark.parametrize("error", [0.1, math.nan])
def test_what_differs_is_off_for_the_whole_process(error: float, caplog: pytest.LogCaptureFixture) -> None:
    right = Compared()
    assert not Compared(error).proves("lean layers")
    assert not right.proves("lean layers", "gemma")
    assert right.times == 0
    assert not allowed("lean layers")
    assert states()["lean layers"].startswith("off: values differ by ")
    (line,) = caplog.messages
    assert "'lean layers' is off" in line and "allowed are 1e-04" in line and "goes on with the plain path" in line


def test_what_raises_is_off_but_full_memory_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MemoryError):
        Compared(MemoryError()).proves("prefix tree")
    assert allowed("prefix tree")
    assert not Compared(RuntimeError("no kernel\nimage")).proves("prefix tree")
    assert states()["prefix tree"] == "off: it raised RuntimeError: no kernel image"
    assert len(caplog.messages) == 1


def test_all_ranks_go_the_plain_way_if_one_has_to() -> None:
    assert not Compared().proves("packed rectangles", "llama", OtherRankRefuses())
    assert states()["packed rectangles"] == "off: values differ there"


def test_a_plain_way_that_raises_says_nothing_about_the_path(caplog: pytest.LogCaptureFixture) -> None:
    def raises() -> Outcome:
        raise TypeError("this layer needs its model")

    assert prove("packed rectangles", "llama", (raises, raises), 1e-4)
    assert states()["packed rectangles"] == "on, not compared: it raised TypeError: this layer needs its model"
    assert len(caplog.messages) == 1


def test_within_a_block_the_plain_way_is_taken() -> None:
    with without("lean layers", "prefix tree"), without("lean layers"):
        assert not allowed("lean layers")
    assert allowed("lean layers") and allowed("prefix tree")


def test_the_record_names_every_path_and_the_worst_rank(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    unused = states()
    Compared().proves("compiled layers")
    used = states()
    switch_off("compiled layers", "wrong")
    assert combined([unused, used]).split("; ")[3] == "compiled layers: on"
    assert combined([used, states(), unused]).split("; ")[3] == "compiled layers: off: wrong"
    assert [each.partition(":")[0] for each in combined([used]).split("; ")] == list(FAST_PATHS)
