"""Splits the rows of an optimizer step into this worker's micro-batches: which rows, padded how, divided by what.

`trainables.training.step` runs the model on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainables.batching.code_bases import NPO_WIDTH, published_batch
from trainables.batching.packing import Layout, Packed
from trainables.batching.rows import Batch, Encoded
from trainables.batching.schedule import StepRows, micro_batches, rows_at_a_time
from trainables.config import Compat
from trainables.inputs.alternatives import alternative_index
from trainables.inputs.reference_log_probs import ReferenceTable
from trainables.methods.base import Method, Published
from trainables.methods.reduction import Divisors, Size, published
from trainables.methods.retain_terms import RETAIN_TERMS
from trainables.model.memory import CPU_TOKENS
from trainables.model.scoring import make_batch
from trainables.runtime.ranks import Group

PUBLISHED_ROWS = 8
"""Rows per micro-batch by default in open-unlearning's trainer."""


@dataclass(frozen=True)
class StepData:
    """The rows of a trial and their tables. Every row has the same number of alternatives.

    `alternative_reference`: table of the alternatives, forget row after forget row. `frozen`: the target model, if the
    method needs it in memory. `seed`: the trial's. `end_id`: what published code pads with if it does not use `pad_id`.
    """

    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    pad_id: int
    end_id: int | None = None
    seed: int = 0
    alternatives: Sequence[Sequence[Encoded]] = ()
    retain_alternatives: Sequence[Sequence[Encoded]] = ()
    reference: ReferenceTable | None = None
    alternative_reference: ReferenceTable | None = None
    frozen: Any = None


@dataclass(frozen=True)
class MicroBatch:
    """The rows of one micro-batch of this rank, by number; `epoch` selects their alternatives."""

    forget: tuple[int, ...]
    retain: tuple[int, ...]
    epoch: int


@dataclass(frozen=True)
class MicroBatchRows:
    """The tokenised rows of a micro-batch, and the alternatives of its forget and retain rows."""

    forget: list[Encoded]
    retain: list[Encoded]
    alternatives: list[Encoded]
    retain_alternatives: list[Encoded]

    @property
    def all(self) -> list[Encoded]:
        return [*self.forget, *self.retain, *self.alternatives, *self.retain_alternatives]

    @property
    def tokens(self) -> int:
        return sum(len(row.input_ids) for row in self.all)


@dataclass(frozen=True)
class MicroBatcher:
    """Splits each step's rows over workers and micro-batches.

    `micro_batch_size`: forget rows per micro-batch. None: as many as fit `micro_batch_tokens` together with their
    retain rows and alternatives, or `PUBLISHED_ROWS` if tokens do not decide. `layout`: how the model takes rows; under
    `compat` rows are padded, because published code reads padding.
    """

    method: Method
    data: StepData
    group: Group
    micro_batch_size: int | None
    compat: Compat = "none"
    layout: Layout = "padded"
    micro_batch_tokens: int = CPU_TOKENS

    def parts(self, rows: StepRows, epoch: int) -> list[MicroBatch]:
        """This rank's micro-batches, as many as every other rank's; some may be empty."""
        rank, size, together = self.group.rank, self.group.size, self._rows_per_micro_batch(rows)
        forget = micro_batches(rows.forget, rank, size, together)
        retain = micro_batches(rows.retain, rank, size, together) if rows.retain else [()] * len(forget)
        return [MicroBatch(f, r, epoch) for f, r in zip(forget, retain, strict=True)]

    def _rows_per_micro_batch(self, rows: StepRows) -> int:
        """Forget rows per micro-batch of this step."""
        if self.micro_batch_size is not None:
            return self.micro_batch_size
        # Published losses depend on the number, and `micro_batch_tokens` does not count whole distributions in float32.
        if self.compat != "none" or self.reads_distributions:
            return PUBLISHED_ROWS
        data = self.data
        tokens = [len(data.forget[i].input_ids) + _longest(data.alternatives, i) for i in rows.forget]
        for place, i in enumerate(rows.retain):
            tokens[place] += len(data.retain[i].input_ids) + _longest(data.retain_alternatives, i)
        return rows_at_a_time(tokens, self.group.size, self.micro_batch_tokens)

    def rows(self, part: MicroBatch, forget: bool = True, retain: bool = True) -> MicroBatchRows:
        """The rows of a micro-batch, without the side whose flag is False."""
        data = self.data
        f, r = part.forget if forget else (), part.retain if retain else ()

        def chosen(alternatives: Sequence[Sequence[Encoded]], rows: Sequence[int]) -> list[Encoded]:
            return [alternatives[i][self.alternative_index(i, part)] for i in rows] if alternatives else []

        return MicroBatchRows(
            [data.forget[i] for i in f],
            [data.retain[i] for i in r],
            chosen(data.alternatives, f),
            chosen(data.retain_alternatives, r),
        )

    def alternative_index(self, row: int, part: MicroBatch) -> int:
        """Which of its alternatives a row has in this epoch. Forget and retain rows have the same number of them."""
        each = len((self.data.alternatives or self.data.retain_alternatives)[0])
        return alternative_index(row, part.epoch, self.data.seed, each)

    def batch(self, rows: MicroBatchRows) -> Batch | Packed:
        # A rank without rows still takes part in the collectives: it scores one row and counts none.
        encoded = rows.all or [self.data.forget[0]]
        if self.compat == "none":
            return make_batch(encoded, self.data.pad_id, self.group.device, self.layout)
        pad_id = self.data.pad_id
        end_id = pad_id if self.data.end_id is None else self.data.end_id
        return published_batch(self.compat, encoded, pad_id, end_id, self.reads_padding).to(self.group.device)

    @property
    def reads_distributions(self) -> bool:
        """Whether a loss reads the probabilities of the whole vocabulary, not only of the answer's tokens."""
        term = RETAIN_TERMS.get(self.method.retain)
        return self.method.needs_logits or (term is not None and term.needs_logits)

    @property
    def reads_padding(self) -> bool:
        """Whether a mean is over prompt and padding too, as in some published code."""
        return any(way is not None and way.everywhere for way in self.published)

    @property
    def reads_past_end(self) -> bool:
        """Whether the position after the last token is read, which predicts nothing."""
        return any(way is not None and (way.everywhere or way.later) for way in self.published)

    @property
    def published(self) -> tuple[Published | None, Published | None]:
        """How tokens of forget loss and retain term are counted; None if as here."""
        return published(self.method, self.compat)

    def width(self, rows: Sequence[Encoded]) -> int:
        """Tokens per row after a published code base's padding."""
        longest = max((len(row.input_ids) for row in rows), default=1)
        return max(NPO_WIDTH, longest) if self.compat == "npo" else longest

    def divisors(self, part: MicroBatch, step: StepRows) -> Divisors:
        """What the sums over the rows of `part` are divided by: sizes of the whole step.

        Published code averages the means of all workers' micro-batches: the size of this one times their number.
        """
        whole = MicroBatch(step.forget, step.retain, part.epoch)
        rows = self.rows(whole if self.compat == "none" else part)
        retain_width = self.width(rows.retain)
        forget = Size.of(rows.forget, self.width(rows.forget) - 1)
        alternative, retain = Size.of(rows.alternatives), Size.of(rows.retain, retain_width)
        if self.compat == "none":
            return Divisors.exact(self.method, forget, alternative, retain)
        if not rows.forget:
            return Divisors(1.0, 1.0)  # a rank without rows: its sums are zero
        return Divisors.compat(self.method, self.compat, forget, alternative, retain, self.micro_batch_count(step))

    def micro_batch_count(self, step: StepRows) -> int:
        """Number of micro-batches with rows, over all workers."""
        size = self.group.size
        together = self._rows_per_micro_batch(step)
        everyone = (micro_batches(step.forget, rank, size, together) for rank in range(size))
        return sum(sum(map(bool, mine)) for mine in everyone)


def _longest(alternatives: Sequence[Sequence[Encoded]], row: int) -> int:
    """Tokens of a row's longest alternative: alternatives change from epoch to epoch, micro-batches must not."""
    return max((len(each.input_ids) for each in alternatives[row]), default=0) if alternatives else 0
