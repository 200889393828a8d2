"""One optimizer step of a trial: the forward pass and the loss of each micro-batch.

All rows of a micro-batch (forget, retain, alternatives of both) share one forward pass. `MicroBatcher` decides which
rows those are, `trainables.methods` what the loss is, `gradients` how two gradients are combined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from trainables.batching.packing import Packed
from trainables.batching.rows import Batch
from trainables.batching.schedule import StepRows
from trainables.batching.scores import Scores
from trainables.config import Hyperparameters
from trainables.inputs.micro_batches import MicroBatch, MicroBatcher, MicroBatchRows
from trainables.methods.base import Forget, Published, Retain
from trainables.methods.reduction import Divisors, forget_term, retain_term
from trainables.methods.retain_terms import RETAIN_TERMS
from trainables.model.scoring import ForwardOutputs, score
from trainables.training.engine import Engine
from trainables.training.gradients import WholeBatch, combined, worst_nearby
from trainables.training.terms import MicroBatchResult, Terms


class Stepper:
    """Takes a trial's optimizer steps on this rank. `weight`: the retain weight, which some methods change."""

    def __init__(self, engine: Engine, hyper: Hyperparameters, batcher: MicroBatcher) -> None:
        self.engine, self.batcher, self.method = engine, batcher, batcher.method
        self.values = batcher.method.values(hyper)
        self.weight = self.values.get("retain_weight", 1.0)
        self._seed = hyper.seed

    def run(self, rows: StepRows, epoch: int, learning_rate: float) -> list[MicroBatchResult]:
        """One optimizer step over all rows, on all workers. Returns the results of this rank's micro-batches."""
        parts = self.batcher.parts(rows, epoch)
        results: list[MicroBatchResult] = []
        terms = partial(self.terms, step=rows, statistics=self._statistics(parts, len(rows.forget)))
        values = {**self.values, "retain_weight": self.weight}
        batch = WholeBatch(self.engine.model, self.method, values, self.batcher.group.size, parts, terms, results)
        if self.method.combine is not None:
            losses, count = combined(batch), 1
        elif self.method.worst_nearby:
            losses, count = worst_nearby(batch), 2 * len(parts)
        else:
            losses, count = self._plain(rows, parts, terms, results), len(parts)
        self.engine.step(losses, learning_rate, count)
        if self.batcher.compat == "none":
            mine = [float(part.terms.retain) for part in results if part.terms.retain is not None]
            self._move_weight(sum(self.batcher.group.gather(mine)) if self.method.multiplier is not None else 0.0)
        return results

    def _move_weight(self, retain_loss: float) -> None:
        """Called after a step; published code calls it after every micro-batch, on each worker separately."""
        if self.method.multiplier is not None:
            self.weight = self.method.multiplier(self.weight, retain_loss, self.values)

    def _plain(
        self, step: StepRows, parts: Sequence[MicroBatch], terms: partial[Terms], results: list[MicroBatchResult]
    ) -> Iterator[Tensor]:
        for part in parts:
            found = terms(part)
            loss = found.forget if found.retain is None else found.forget + self.weight * found.retain
            results.append(MicroBatchResult.of(loss, found))
            yield loss
            if self.batcher.compat != "none" and found.retain is not None and part.retain:
                self._move_weight(float(found.retain.detach()) * self.batcher.micro_batch_count(step))

    def terms(
        self,
        part: MicroBatch,
        forget: bool = True,
        retain: bool = True,
        *,
        for_engine: bool = True,
        step: StepRows,
        statistics: Mapping[MicroBatch, Tensor],
    ) -> Terms:
        """Both losses of a micro-batch from one forward pass, without the side whose flag is False.

        `for_engine`: whether the engine runs the backward pass. It refuses other backward passes over its own forward.
        """
        rows = self.batcher.rows(part, forget, retain)
        batch = self.batcher.batch(rows)
        keep = self._keep(batch)
        self.engine.prove(batch)
        model = self.engine.deepspeed if for_engine else self.engine.model
        scores = _Split.of(score(model, batch, keep), rows)
        frozen = self._frozen(batch, keep, rows, scores)
        divisors = self.batcher.divisors(part, step)
        loss = scores.forget.token_log_probs.new_zeros(())
        if forget:
            inputs = self._forget(part, rows, scores, frozen, statistics.get(part))
            loss = forget_term(self.method, inputs, self.values, divisors)
        retain_loss = None
        if retain and self.method.retain != "none":
            retain_loss = self._retain_term(rows, scores, frozen, divisors)
        return Terms(loss, retain_loss, rows.tokens)

    def _retain_term(self, rows: MicroBatchRows, scores: _Split, frozen: _Frozen, divisors: Divisors) -> Tensor:
        _, way = self.batcher.published
        width = self.batcher.width(rows.retain)
        retain = Retain(
            _counted(scores.retain, way, width),
            None if frozen.retain is None else _counted(frozen.retain, way, width),
            scores.retain_alternatives if rows.retain_alternatives or self.batcher.data.retain_alternatives else None,
        )
        return retain_term(self.method, retain, self.values, divisors)

    def _forget(
        self, part: MicroBatch, rows: MicroBatchRows, scores: _Split, frozen: _Frozen, statistic: Tensor | None
    ) -> Forget:
        data = self.batcher.data
        way, _ = self.batcher.published
        width = self.batcher.width(rows.forget) - 1
        reference = None if frozen.forget is None else _counted(frozen.forget, way, width)
        if data.reference is not None:
            reference = data.reference.scores(part.forget, scores.forget.mask)
        alternative = scores.alternatives if data.alternatives else None
        of_alternative = None
        if data.alternative_reference is not None and alternative is not None:
            each = len(data.alternatives[0])
            numbers = [i * each + self.batcher.alternative_index(i, part) for i in part.forget]
            of_alternative = data.alternative_reference.scores(numbers, alternative.mask)
        model = _counted(scores.forget, way, width)
        return Forget(model, reference, alternative, of_alternative, statistic, self._seed)

    def _keep(self, batch: Batch | Packed) -> ForwardOutputs:
        """What the losses read of a forward pass in addition to log-probs."""
        method, term = self.method, RETAIN_TERMS.get(self.method.retain)
        layer = None
        if method.needs_hidden or (term is not None and term.needs_hidden):
            layers = int(self.engine.model.config.num_hidden_layers)
            layer = max(1, round(self.values["depth"] * layers))
        everywhere = self.batcher.reads_padding
        return ForwardOutputs(
            logits=self.batcher.reads_distributions,
            layer=layer,
            first=0 if everywhere else batch.first if isinstance(batch, Batch) else None,
            last=self.batcher.reads_past_end,
        )

    @torch.no_grad()
    def _frozen(self, batch: Batch | Packed, keep: ForwardOutputs, rows: MicroBatchRows, scores: _Split) -> _Frozen:
        """The target model's scores of forget and retain rows, where the method reads them; other rows are not run."""
        model, method = self.batcher.data.frozen, self.method
        forget = len(rows.forget)
        start = 0 if method.reference == "logits" else forget
        stop = forget + len(rows.retain) if method.retain in ("kl", "hidden") else forget
        if model is None:
            return _Frozen()
        if stop <= start:  # a rank without rows
            return _Frozen(scores.forget.rows(0, 0), scores.retain.rows(0, 0))
        found = score(model, batch.rows(start, stop), keep)
        return _Frozen(
            found.rows(0, forget) if start == 0 else None,
            found.rows(forget - start, stop - start) if stop > forget else None,
        )

    @torch.no_grad()
    def _statistics(self, parts: Sequence[MicroBatch], rows: int) -> Mapping[MicroBatch, Tensor]:
        """For every micro-batch, the mean of the method's statistic over the forget rows of the whole optimizer batch;
        published code takes the mean over the micro-batch.
        """
        if self.method.statistic is None:
            return {}
        mine: list[float] = []
        for part in parts:
            of_part = self.batcher.rows(part, retain=False)
            batch = self.batcher.batch(of_part)
            scores = _Split.of(score(self.engine.deepspeed, batch, self._keep(batch)), of_part)
            forget = self._forget(part, of_part, scores, _Frozen(), None)
            mine.append(float(self.method.statistic(forget, self.values).sum()))
        if self.batcher.compat == "none":
            means = [sum(self.batcher.group.gather(mine)) / rows] * len(parts)
        else:
            means = [total / max(len(part.forget), 1) for part, total in zip(parts, mine, strict=True)]
        device = self.batcher.group.device
        return {
            part: torch.tensor(mean, device=device, dtype=torch.float64)
            for part, mean in zip(parts, means, strict=True)
        }


@dataclass(frozen=True)
class _Split:
    """The scores of a forward pass by kind of row."""

    forget: Scores
    retain: Scores
    alternatives: Scores
    retain_alternatives: Scores

    @classmethod
    def of(cls, scores: Scores, rows: MicroBatchRows) -> _Split:
        start, found = 0, []
        for group in (rows.forget, rows.retain, rows.alternatives, rows.retain_alternatives):
            found.append(scores.rows(start, start + len(group)))
            start += len(group)
        return cls(*found)


@dataclass(frozen=True)
class _Frozen:
    """The target model's scores; None where the method does not read them."""

    forget: Scores | None = None
    retain: Scores | None = None


def _counted(scores: Scores, way: Published | None, width: int) -> Scores:
    """Scores of the positions that count: the answer's, or published code's. `width`: of these rows alone, padded."""
    if way is None:
        return scores
    if way.everywhere:
        return scores.all_positions(width)
    return scores.shifted() if way.later else scores
