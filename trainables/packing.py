"""Rows laid end to end, without padding, and where each lies. Knows token ids, no model and no loss.

A row keeps its own positions and attends to nothing but itself (`trainables.attention`), so it is scored as if alone.
The last token of a row predicts nothing that is looked at and stays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from trainables.scores import Encoded

Layout: TypeAlias = Literal["padded", "packed", "filled"]
"""How rows become a batch: padded on the right, end to end, or end to end in sizes that few batches differ in."""

_GROUP_SHARE = 0.8  # rows shorter than this share of a group's longest begin the next group
_GROUP_ROWS = 4  # fewer are not worth kernels of their own


@dataclass(frozen=True)
class Packing:
    """Where the rows of a packed batch lie.

    `lengths`: tokens of each row, in order. `bounds`: (rows + some + 1,) int32, where rows begin and end, then rows of
    no tokens. `longest`: no row is longer. Both are rounded up, so that code compiled for one batch serves others.
    """

    lengths: tuple[int, ...]
    bounds: Tensor
    longest: int

    @classmethod
    def of(cls, lengths: tuple[int, ...], device: torch.device) -> Packing:
        """`device`: where indices go."""
        bounds = [0, *accumulate(lengths)]
        bounds += bounds[-1:] * (rounded_up(len(lengths)) - len(lengths))
        return cls(lengths, torch.tensor(bounds, dtype=torch.int32, device=device), rounded_up(max(lengths)))

    @property
    def device(self) -> torch.device:
        return self.bounds.device

    @cached_property
    def groups(self) -> tuple[Tensor, ...]:
        """Rows of similar length as (rows, longest) int64 token numbers; short rows repeat their last token."""
        starts = [0, *accumulate(self.lengths)]
        found = []
        for members in similar(self.lengths):
            steps = torch.arange(max(self.lengths[i] for i in members))
            last = torch.tensor([self.lengths[i] - 1 for i in members])
            first = torch.tensor([starts[i] for i in members])
            found.append((first[:, None] + torch.minimum(steps[None], last[:, None])).to(self.device))
        return tuple(found)

    @cached_property
    def places(self) -> Tensor:
        """(tokens,) int64: where each token is found in all groups, flattened and one after another."""
        starts, offset = [0, *accumulate(self.lengths)], 0
        places = torch.empty(starts[-1], dtype=torch.int64)
        for members in similar(self.lengths):
            width = max(self.lengths[i] for i in members)
            for i in members:
                places[starts[i] : starts[i + 1]] = torch.arange(offset, offset + self.lengths[i])
                offset += width
        return places.to(self.device)


def rounded_up(size: int) -> int:
    """The next of eight sizes an octave: 8, 9, …, 15, 16, 18, 20, …: at most an eighth more, and few sizes in all."""
    step = 1 << max(0, size.bit_length() - 4)
    return -(-size // step) * step


def similar(lengths: Sequence[int]) -> list[list[int]]:
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
    that was `filled` up has one more row in `packing`, of padding.
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

    def filled(self) -> Packed:
        """The same in a size that few batches differ in (`rounded_up`), for code that is compiled for sizes."""
        have = self.input_ids.shape[1]
        more = rounded_up(have + 1) - have
        positions = torch.arange(more, device=self.input_ids.device)[None]
        return replace(
            self,
            input_ids=torch.cat([self.input_ids, self.input_ids.new_zeros((1, more))], 1),
            position_ids=torch.cat([self.position_ids, positions], 1),
            packing=Packing.of((*self.packing.lengths, more), self.packing.device),
        )


def pack(rows: Sequence[Encoded], device: torch.device | str) -> Packed:
    """The rows end to end. Raises ValueError for none."""
    if not rows:
        raise ValueError("0 rows cannot be packed; give one at least")
    ids: list[int] = []
    positions: list[int] = []
    kept: list[int] = []
    targets: list[int] = []
    for row in rows:
        read = row.input_ids[:-1] or row.input_ids
        first = max(row.answer_start, 1)
        kept += range(len(ids) + first - 1, len(ids) + len(row.input_ids) - 1)
        targets += row.input_ids[first:]
        ids += read
        positions += range(len(read))
    answers = tuple(row.answer_tokens for row in rows)
    width = max(answers)
    slots = [i * width + j for i, count in enumerate(answers) for j in range(count)]
    on = torch.device(device)
    lengths = tuple(max(len(row.input_ids) - 1, 1) for row in rows)

    def tensor(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64).to(on)

    return Packed(
        tensor(ids)[None],
        tensor(positions)[None],
        Packing.of(lengths, on),
        tensor(kept),
        tensor(targets),
        tensor(slots),
        answers,
        width,
    )
