"""Rows laid end to end, without padding, and where each lies. Knows token ids, no model and no loss.

A row keeps its own positions and attends to nothing but itself (`trainables.model.packed_attention`), so it is
scored as if alone. The last token of a row predicts nothing that is looked at and stays out.
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

from trainables.runtime.transfer import on_device

if TYPE_CHECKING:
    from trainables.batching.rows import Encoded

Layout: TypeAlias = Literal["padded", "packed", "filled"]
"""How rows become a batch: padded on the right, end to end, or end to end in sizes that few batches differ in."""

_GROUP_SHARE = 0.8  # rows shorter than this share of a group's longest begin the next group
_GROUP_ROWS = 4  # fewer are not worth kernels of their own
_LONGEST = 256  # the kernel skips what lies behind a row's end, so an upper bound costs nothing
_KERNEL_NEEDS = (8, 0)  # compute capability

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True)
class Packing:
    """Where the rows of a packed batch lie.

    `lengths`: tokens of each row, in order. `bounds`: (rows + some + 1,) int32, where rows begin and end, then rows of
    no tokens. `longest`: no row is longer. Both are rounded up, so that code compiled for one batch serves others: it
    is compiled for these two as for the number of tokens, and must not look at `lengths`. `kernel`: whether the device
    has the kernel for rows of any length.
    """

    lengths: tuple[int, ...]
    bounds: Tensor
    longest: int
    kernel: bool = False

    @classmethod
    def of(cls, lengths: tuple[int, ...], device: torch.device) -> Packing:
        """`device`: where indices go."""
        return cls.within(lengths, on_device(torch.from_numpy(_bounds(lengths)), device))

    @classmethod
    def within(cls, lengths: tuple[int, ...], bounds: Tensor) -> Packing:
        """With bounds that are on the device already, as integers of any type."""
        return cls(lengths, bounds.to(torch.int32), _upper(max(lengths)), has_kernel(bounds.device))

    @property
    def device(self) -> torch.device:
        return self.bounds.device

    @cached_property
    def groups(self) -> tuple[Tensor, ...]:
        """Rows of similar length as (rows, longest) int64 token numbers; short rows repeat their last token."""
        starts = [0, *accumulate(self.lengths)]
        found = []
        for members in group_by_length(self.lengths):
            steps = torch.arange(max(self.lengths[i] for i in members))
            last = torch.tensor([self.lengths[i] - 1 for i in members])
            first = torch.tensor([starts[i] for i in members])
            found.append(on_device(first[:, None] + torch.minimum(steps[None], last[:, None]), self.device))
        return tuple(found)

    @cached_property
    def places(self) -> Tensor:
        """(tokens,) int64: where each token is found in all groups, flattened and one after another."""
        starts, offset = [0, *accumulate(self.lengths)], 0
        places = torch.empty(starts[-1], dtype=torch.int64)
        for members in group_by_length(self.lengths):
            width = max(self.lengths[i] for i in members)
            for i in members:
                places[starts[i] : starts[i + 1]] = torch.arange(offset, offset + self.lengths[i])
                offset += width
        return on_device(places, self.device)


def has_kernel(device: torch.device) -> bool:
    """Whether rows of any length can go through one attention kernel there."""
    known = device.type == "cuda" and torch.cuda.is_available()
    return known and torch.cuda.get_device_capability(device) >= _KERNEL_NEEDS


def rounded_up(size: int, fineness: int = 3) -> int:
    """The next of 2**fineness sizes an octave; of eight: 8, 9, …, 15, 16, 18, 20, …: at most an eighth more, and few
    sizes in all.
    """
    step = 1 << max(0, size.bit_length() - 1 - fineness)
    return -(-size // step) * step


def pad_to_bucket(size: int) -> int:
    """Tokens of a batch of `size` tokens once it is filled up: they are computed with, so at most a sixteenth more."""
    return rounded_up(size, fineness=4)


def _upper(longest: int) -> int:
    """A power of two."""
    return max(_LONGEST, 1 << (longest - 1).bit_length())


def _bounds(lengths: tuple[int, ...]) -> Numbers:
    bounds = [0, *accumulate(lengths)]
    return np.array(bounds + bounds[-1:] * (rounded_up(len(lengths)) - len(lengths)))


def _runs(starts: Numbers, counts: Numbers) -> Numbers:
    """starts[0], starts[0] + 1, …, counts[0] of them; then the same for the next."""
    before = counts.cumsum() - counts
    found: Numbers = np.repeat(starts - before, counts) + np.arange(counts.sum())
    return found


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers in groups of similar length, longest first: little is padded where a kernel needs a rectangle."""
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
    `targets`: those tokens; `slots`: where each goes in (rows, width) flattened, row after row. `answers`: answer
    tokens of each row; `width`: of the longest. All are in order, so a range of rows is a range of each tensor. A batch
    that was filled up has more rows in `packing`, of padding.
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
        of = slice(sum(self.answers[:start]), sum(self.answers[:stop]))
        return Packed(
            self.input_ids[:, first:last],
            self.position_ids[:, first:last],
            Packing.of(lengths[start:stop], self.packing.device),
            self.kept[of] - first,
            self.targets[of],
            self.slots[of] - start * self.width,
            self.answers[start:stop],
            self.width,
        )


def pack(rows: Sequence[Encoded], device: torch.device | str, filled: bool = False) -> Packed:
    """The rows end to end. `filled`: up to a size that few batches have (`pad_to_bucket`), for code compiled for
    fixed sizes. Raises ValueError without rows.

    All goes to the device in one copy that nobody waits for.
    """
    if not rows:
        raise ValueError("0 rows cannot be packed; give one at least")
    read = [row.input_ids[:-1] or row.input_ids for row in rows]
    lengths = tuple(map(len, read))
    have = sum(lengths)
    whole = (*lengths, *_filling(have, _upper(max(lengths)))) if filled else lengths
    answers = tuple(row.answer_tokens for row in rows)
    width, counts = max(answers), np.array(answers)
    first = np.array([max(row.answer_start, 1) for row in rows])
    starts = np.array(lengths).cumsum() - lengths
    parts = (
        np.fromiter(chain(chain.from_iterable(read), [0] * (sum(whole) - have)), np.int64, sum(whole)),
        _runs(np.zeros(len(whole), np.int64), np.array(whole)),
        _runs(starts + first - 1, counts),
        np.fromiter(chain.from_iterable(row.input_ids[max(row.answer_start, 1) :] for row in rows), np.int64),
        _runs(np.arange(len(rows)) * width, counts),
        _bounds(whole),
    )
    together = on_device(torch.from_numpy(np.concatenate(parts)), torch.device(device))
    ids, positions, kept, targets, slots, bounds = torch.split(together, [len(part) for part in parts])
    packing = Packing.within(whole, bounds)
    return Packed(ids[None], positions[None], packing, kept, targets, slots, answers, width)


def _filling(have: int, most: int) -> list[int]:
    """Lengths of rows of padding that fill `have` tokens up; none is longer than `most`."""
    more = pad_to_bucket(have) - have
    return [min(most, more - start) for start in range(0, more, most)]
