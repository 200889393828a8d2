"""One optimizer step of plain fine-tuning: mean negative log-likelihood per answer token."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from trainables.batching.packing import Packed
from trainables.batching.rows import Batch, Encoded
from trainables.batching.schedule import micro_batches, rows_at_a_time
from trainables.model.scoring import score
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine


def plain_step(
    engine: Engine,
    rows: Sequence[Encoded],
    batch: Callable[[Sequence[Encoded]], Batch | Packed],
    group: Group,
    rate: float,
    micro_batch_size: int | None,
    stage: Stage,
) -> list[float]:
    """Take one step on the rows. Returns this rank's share of the loss per micro-batch, nats per token.

    `batch`: makes a micro-batch of rows. `micro_batch_size`: rows per rank, or None for as many as fit.
    `stage`: reports the step as progress.
    """
    shares: list[float] = []
    lengths = [len(row.input_ids) for row in rows]
    together = micro_batch_size or rows_at_a_time(lengths, group.size, engine.micro_batch_tokens)
    micros = micro_batches(tuple(range(len(rows))), group.rank, group.size, together)
    tokens = sum(row.answer_tokens for row in rows)

    def losses() -> Iterator[Tensor]:
        for micro in micros:
            # A rank without rows still takes part in the collectives: it scores one row and counts none.
            some = batch([rows[i] for i in micro] or [rows[0]])
            engine.prove(some)
            loss = -score(engine.deepspeed, some).rows(0, len(micro)).sequence.sum() / tokens
            shares.append(float(loss.detach()))
            yield loss

    engine.step(losses(), rate, len(micros))
    stage.step(tokens=sum(lengths), loss=lambda: group.size * math.fsum(shares))
    return shares
