"""The rows of an optimizer step as micro-batches of this worker: which rows, padded how, divided by what.

Knows rows and reductions, no model: `trainables.training.step` runs them.
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
from trainables.inputs.alternatives import turn
from trainables.inputs.reference_log_probs import ReferenceTable
from trainables.methods.base import Method, Published
from trainables.methods.reduction import Divisors, Size, published
from trainables.methods.retain_terms import RETAIN_TERMS
from trainables.model.memory import CPU_TOKENS
from trainables.model.scoring import make_batch
from trainables.runtime.ranks import Group

PUBLISHED_ROWS = 8
"""Rows of a micro-batch where open-unlearning's trainer is not told otherwise."""


@dataclass(frozen=True)
class StepData:
    """Rows, and what is known of them beforehand. Every row's alternatives are equally many.

    `alternative_reference`: of the alternatives of forget row after forget row. `frozen`: the target model, if the
    method needs it whole. `seed`: the trial's. `end_id`: what published code pads with that does not use `pad_id`.
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
    """The rows of one micro-batch of this rank, by number; `epoch` decides on their alternatives."""

    forget: tuple[int, ...]
    retain: tuple[int, ...]
    epoch: int


@dataclass(frozen=True)
class MicroBatchRows:
    """Their tokens; the alternatives are of forget and of retain rows."""

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
    """Deals the rows of steps out to this worker.

    `micro_batch_size`: forget rows of a micro-batch; None: as many as have `micro_batch_tokens` with all that belongs
    to them, or `PUBLISHED_ROWS` where tokens are not what counts. `layout`: how the model takes rows; published code
    looks at padding, so under `compat` there is some.
    """

    method: Method
    data: StepData
    group: Group
    micro_batch_size: int | None
    compat: Compat = "none"
    layout: Layout = "padded"
    micro_batch_tokens: int = CPU_TOKENS

    def parts(self, rows: StepRows, epoch: int) -> list[MicroBatch]:
        """This rank's micro-batches; every rank has equally many, some empty."""
        rank, size, together = self.group.rank, self.group.size, self._together(rows)
        forget = micro_batches(rows.forget, rank, size, together)
        retain = micro_batches(rows.retain, rank, size, together) if rows.retain else [()] * len(forget)
        return [MicroBatch(f, r, epoch) for f, r in zip(forget, retain, strict=True)]

    def _together(self, rows: StepRows) -> int:
        """Forget rows of a micro-batch of this step."""
        if self.micro_batch_size is not None:
            return self.micro_batch_size
        # Published losses depend on it; and whole distributions, in float32, are not in the count of tokens that fit.
        if self.compat != "none" or self.reads_distributions:
            return PUBLISHED_ROWS
        data = self.data
        tokens = [len(data.forget[i].input_ids) + _longest(data.alternatives, i) for i in rows.forget]
        for place, i in enumerate(rows.retain):
            tokens[place] += len(data.retain[i].input_ids) + _longest(data.retain_alternatives, i)
        return rows_at_a_time(tokens, self.group.size, self.micro_batch_tokens)

    def rows(self, part: MicroBatch, forget: bool = True, retain: bool = True) -> MicroBatchRows:
        """Without `forget` or `retain` that side stays out."""
        data = self.data
        f, r = part.forget if forget else (), part.retain if retain else ()
        return MicroBatchRows(
            [data.forget[i] for i in f],
            [data.retain[i] for i in r],
            [data.alternatives[i][self.turn(i, part)] for i in f] if data.alternatives else [],
            [data.retain_alternatives[i][self.turn(i, part)] for i in r] if data.retain_alternatives else [],
        )

    def turn(self, row: int, part: MicroBatch) -> int:
        """Which of its alternatives a row has in this part's epoch. Forget and retain rows have equally many."""
        each = len((self.data.alternatives or self.data.retain_alternatives)[0])
        return turn(row, part.epoch, self.data.seed, each)

    def batch(self, rows: MicroBatchRows) -> Batch | Packed:
        # A rank without rows still takes part in the collectives: it scores one row and counts none.
        encoded = rows.all or [self.data.forget[0]]
        if self.compat == "none":
            return make_batch(encoded, self.data.pad_id, self.group.device, self.layout)
        pad_id = self.data.pad_id
        end_id = pad_id if self.data.end_id is None else self.data.end_id
        return published_batch(self.compat, encoded, pad_id, end_id, self.looks_at_padding).to(self.group.device)

    @property
    def reads_distributions(self) -> bool:
        """Whether a loss reads the probabilities of all tokens, not only of the answer's."""
        term = RETAIN_TERMS.get(self.method.retain)
        return self.method.needs_logits or (term is not None and term.needs_logits)

    @property
    def looks_at_padding(self) -> bool:
        """Whether a mean is taken over prompt and padding too, as some published code does."""
        return any(way is not None and way.everywhere for way in self.published)

    @property
    def looks_behind(self) -> bool:
        """Whether the position behind the last token is read, which predicts nothing."""
        return any(way is not None and (way.everywhere or way.later) for way in self.published)

    @property
    def published(self) -> tuple[Published | None, Published | None]:
        """How tokens of forget loss and retain term are counted; None: as here."""
        return published(self.method, self.compat)

    def width(self, rows: Sequence[Encoded]) -> int:
        """Tokens that a published code base pads these rows to."""
        longest = max((len(row.input_ids) for row in rows), default=1)
        return max(NPO_WIDTH, longest) if self.compat == "npo" else longest

    def divisors(self, part: MicroBatch, step: StepRows) -> Divisors:
        """What the sums over the rows of `part` are divided by: sizes of the whole step, or as a published code does.

        Those average over the micro-batches of all workers: sizes of this micro-batch, times the micro-batches.
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
        return Divisors.compat(self.method, self.compat, forget, alternative, retain, self.parts_of_all(step))

    def parts_of_all(self, step: StepRows) -> int:
        """Micro-batches of all workers that have rows."""
        size = self.group.size
        together = self._together(step)
        everyone = (micro_batches(step.forget, rank, size, together) for rank in range(size))
        return sum(sum(map(bool, mine)) for mine in everyone)


def _longest(alternatives: Sequence[Sequence[Encoded]], row: int) -> int:
    """Tokens of the longest alternative of a row: which one it is changes from epoch to epoch, micro-batches do not."""
    return max((len(each.input_ids) for each in alternatives[row]), default=0) if alternatives else 0
