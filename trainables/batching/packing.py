"""Packed batches: rows end to end, without padding, and the position of each.

A row keeps its own position ids and attends only to itself (`trainables.model.packed_attention`), so it is scored as
if alone. A row's last token predicts nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from trainables.runtime.fast_paths import allowed
from trainables.runtime.transfer import on_device

if TYPE_CHECKING:
    from trainables.batching.rows import Encoded

Layout: TypeAlias = Literal["padded", "packed", "filled"]
"""How rows become a batch: padded on the right, end to end, or end to end and filled up to one of a few sizes."""

_GROUP_SHARE = 0.8  # rows shorter than this share of a group's longest begin the next group
_GROUP_ROWS = 4  # smaller groups do not pay for their own kernel calls
_LONGEST = 256  # the kernel skips everything after a row's end, so a high bound costs nothing
_KERNEL_CAPABILITY = (8, 0)  # the least compute capability that has the variable-length kernel

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True)
class Packing:
    """Where the rows of a packed batch are.

    `lengths`: tokens of each row, in order. `bounds`: (rows + extra + 1,) int32, the rows' starts and ends, followed
    by `extra` empty rows. `longest`: an upper bound of the row lengths. Code is compiled for the size of `bounds`, for
    `longest` and for the number of tokens; the first two are rounded up so that it serves many batches, and it must
    not read `lengths`. `kernel`: whether to use the variable-length attention kernel.
    """

    lengths: tuple[int, ...]
    bounds: Tensor
    longest: int
    kernel: bool = False

    @classmethod
    def of(cls, lengths: tuple[int, ...], device: torch.device) -> Packing:
        """Rows of these lengths, with index tensors on `device`."""
        return cls.with_bounds(lengths, on_device(torch.from_numpy(_bounds(lengths)), device))

    @classmethod
    def with_bounds(cls, lengths: tuple[int, ...], bounds: Tensor) -> Packing:
        """Rows whose bounds are on the device already, as integers of any type."""
        return cls(lengths, bounds.to(torch.int32), _round_longest(max(lengths)), has_kernel(bounds.device))

    @cached_property
    def groups(self) -> tuple[Tensor, ...]:
        """Rows of similar length as (rows, longest) int64 token indices; short rows repeat their last token."""
        starts = [0, *accumulate(self.lengths)]
        found = []
        for members in group_by_length(self.lengths):
            steps = torch.arange(max(self.lengths[i] for i in members))
            last = torch.tensor([self.lengths[i] - 1 for i in members])
            first = torch.tensor([starts[i] for i in members])
            found.append(on_device(first[:, None] + torch.minimum(steps[None], last[:, None]), self.bounds.device))
        return tuple(found)

    @cached_property
    def places(self) -> Tensor:
        """(tokens,) int64: the index of each token in the concatenation of the flattened `groups`."""
        starts, offset = [0, *accumulate(self.lengths)], 0
        places = torch.empty(starts[-1], dtype=torch.int64)
        for members in group_by_length(self.lengths):
            width = max(self.lengths[i] for i in members)
            for i in members:
                places[starts[i] : starts[i + 1]] = torch.arange(offset, offset + self.lengths[i])
                offset += width
        return on_device(places, self.bounds.device)


def has_kernel(device: torch.device) -> bool:
    """Whether to use the variable-length attention kernel: the device has it, and it gave the right numbers."""
    return device_has_kernel(device) and allowed("packed attention kernel")


def device_has_kernel(device: torch.device) -> bool:
    """Whether the device has the variable-length attention kernel."""
    is_gpu = device.type == "cuda" and torch.cuda.is_available()
    return is_gpu and torch.cuda.get_device_capability(device) >= _KERNEL_CAPABILITY


def rounded_up(size: int, fineness: int = 3) -> int:
    """`size` rounded up to one of 2**fineness steps per octave. With 8 steps (8, 9, …, 15, 16, 18, 20, …) it grows by
    at most an eighth.
    """
    step = 1 << max(0, size.bit_length() - 1 - fineness)
    return -(-size // step) * step


def pad_to_bucket(size: int) -> int:
    """Tokens of a batch of `size` tokens after filling up; finer than `rounded_up`, as padding costs compute."""
    return rounded_up(size, fineness=4)


def _round_longest(longest: int) -> int:
    """Rounded up to a power of two, at least `_LONGEST`."""
    return max(_LONGEST, 1 << (longest - 1).bit_length())


def _bounds(lengths: tuple[int, ...]) -> Numbers:
    bounds = [0, *accumulate(lengths)]
    return np.array(bounds + bounds[-1:] * (rounded_up(len(lengths)) - len(lengths)))


def _ranges(starts: Numbers, counts: Numbers) -> Numbers:
    """The ranges starts[i], …, starts[i] + counts[i] - 1, concatenated."""
    before = counts.cumsum() - counts
    found: Numbers = np.repeat(starts - before, counts) + np.arange(counts.sum())
    return found


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Row indices in groups of similar length, longest first, so that rectangles of them need little padding."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not groups or (len(groups[-1]) >= _GROUP_ROWS and lengths[i] < _GROUP_SHARE * lengths[groups[-1][0]]):
            groups.append([])
        groups[-1].append(i)
    return groups


@dataclass(frozen=True)
class Packed:
    """Rows end to end.

    `input_ids`, `position_ids`: (1, tokens) int64. `kept`: (answer tokens,) int64, the position that predicts each;
    `targets`: those tokens; `slots`: the index of each in a flattened (rows, width) tensor. `answers`: answer tokens
    of each row; `width`: their maximum. All follow the order of the rows, so a range of rows is a range of each tensor.
    A filled-up batch has further rows, of padding, in `packing`.
    """

    input_ids: Tensor
    position_ids: Tensor
    packing: Packing
    kept: Tensor
    targets: Tensor
    slots: Tensor
    answers: tuple[int, ...]
    width: int

    def rows(self, start: int, stop: int) -> Packed:
        """Rows start..stop, at the same width."""
        lengths = self.packing.lengths
        first, last = sum(lengths[:start]), sum(lengths[:stop])
        part = slice(sum(self.answers[:start]), sum(self.answers[:stop]))
        return Packed(
            self.input_ids[:, first:last],
            self.position_ids[:, first:last],
            Packing.of(lengths[start:stop], self.packing.bounds.device),
            self.kept[part] - first,
            self.targets[part],
            self.slots[part] - start * self.width,
            self.answers[start:stop],
            self.width,
        )


def pack(rows: Sequence[Encoded], device: torch.device | str, filled: bool = False) -> Packed:
    """The rows end to end, moved to the device in one copy that the host does not wait for.

    `filled`: fill up to a bucket size (`pad_to_bucket`), for code compiled for fixed sizes. Raises ValueError for no
    rows.
    """
    if not rows:
        raise ValueError("0 rows cannot be packed; give at least one")
    tokens = [row.input_ids[:-1] or row.input_ids for row in rows]
    lengths = tuple(map(len, tokens))
    have = sum(lengths)
    whole = (*lengths, *_padding_rows(have, _round_longest(max(lengths)))) if filled else lengths
    answers = tuple(row.answer_tokens for row in rows)
    width, counts = max(answers), np.array(answers)
    before = np.array(lengths).cumsum() - lengths - 1  # the position before each row predicts its first token
    parts = (
        np.fromiter(chain(chain.from_iterable(tokens), [0] * (sum(whole) - have)), np.int64, sum(whole)),
        _ranges(np.zeros(len(whole), np.int64), np.array(whole)),
        np.repeat(before, counts) + np.fromiter(chain.from_iterable(row.counted for row in rows), np.int64),
        np.fromiter(chain.from_iterable(row.targets for row in rows), np.int64),
        _ranges(np.arange(len(rows)) * width, counts),
        _bounds(whole),
    )
    joined = on_device(torch.from_numpy(np.concatenate(parts)), torch.device(device))
    ids, positions, kept, targets, slots, bounds = torch.split(joined, [len(part) for part in parts])
    packing = Packing.with_bounds(whole, bounds)
    return Packed(ids[None], positions[None], packing, kept, targets, slots, answers, width)


def _padding_rows(have: int, longest: int) -> list[int]:
    """Lengths of padding rows, at most `longest` each, that fill `have` tokens up to a bucket."""
    missing = pad_to_bucket(have) - have
    return [min(longest, missing - start) for start in range(0, missing, longest)]
