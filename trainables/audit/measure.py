"""What leaks through a prompt: the answer's probability, how much of it is generated, and where recitation starts.

Works on token ids, so a prompt may be anything. Sharded over the ranks, with the same result on every rank. Depends on
no attack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.batching.rows import Encoded
from trainables.evaluation.decoding.answers import Task, decode
from trainables.evaluation.metrics.rouge import rouge_l_recall
from trainables.evaluation.scoring.batches import rank_batches
from trainables.evaluation.scoring.evaluator import ModelRunner, end_tokens
from trainables.evaluation.scoring.queries import Reading
from trainables.evaluation.scoring.read import TokenRequest, read_rows
from trainables.runtime.ranks import Group

T = TypeVar("T")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """A prompt and the answer that it should elicit, whose text is `answer`. `closed`: whether an end token follows."""

    encoded: Encoded
    answer: str
    closed: bool = True

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.encoded.input_ids[: self.encoded.answer_start]


@dataclass(frozen=True)
class Subject:
    """The model under attack (in evaluation mode), and how it generates.

    `end`: id of the token that closes answers, also used as padding. `stop`: generated text is cut before it.
    """

    model: Callable[..., Any]
    tokenizer: Any
    end: int
    max_new_tokens: int
    batch_tokens: int
    group: Group
    stop: str | None = None

    def text(self, tokens: Sequence[int]) -> str:
        """Generated tokens as text, special tokens left out."""
        text = str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
        return text if self.stop is None else text.partition(self.stop)[0]


@dataclass(frozen=True)
class Findings:
    """Results per probe, in the caller's order; NaN where the model's probabilities are NaN.

    `probability`: p(answer | prompt)^(1 / tokens), end included. `strength`: extraction strength, the share of the
    answer, counted from its last token, that teacher-forced argmax recites, end excluded. `rouge`: ROUGE-L recall of
    the greedy answer.
    """

    probability: Floats
    strength: Floats
    rouge: Floats
    generated: tuple[str, ...]

    def means(self, chosen: Sequence[int] | None = None) -> dict[str, float]:
        """Means over all probes or the chosen ones, by the last part of a metric's name."""
        picked = slice(None) if chosen is None else list(chosen)
        return {
            "forget_rouge": float(self.rouge[picked].mean()),
            "forget_probability": float(self.probability[picked].mean()),
            "extraction_strength": float(self.strength[picked].mean()),
        }


def measure(subject: Subject, probes: Sequence[Probe]) -> Findings:
    """Score and generate the answer of every probe; all ranks call it together. Raises ValueError without probes."""
    if not probes:
        raise ValueError("no probes: an attack needs at least one row; leave the attack out")
    rows = [probe.encoded for probe in probes]
    ends = end_tokens(subject.model) | {subject.end}
    reader = ModelRunner(subject.model, subject.end, subject.batch_tokens, subject.group, ends)
    readings = read_rows(reader, rows, TokenRequest(1.0, {i: probe.closed for i, probe in enumerate(probes)}))
    # With NaN probabilities generation would run to the longest answer for nothing.
    usable = [i for i, reading in enumerate(readings) if not math.isnan(reading.loss)]
    tasks = {i: Task(probes[i].prompt, subject.max_new_tokens) for i in usable}
    written = decode(reader, list(dict.fromkeys(tasks.values())), zip(rows, readings, strict=True))
    texts = {i: subject.text(written[task]) for i, task in tasks.items()}
    rouge = [rouge_l_recall(probes[i].answer, texts[i]) if i in texts else math.nan for i in range(len(probes))]
    return Findings(
        probability=np.exp([-reading.loss for reading in readings]),
        strength=np.array([_strength(reading) for reading in readings]),
        rouge=np.array(rouge),
        generated=tuple(texts.get(i, "") for i in range(len(probes))),
    )


def _strength(reading: Reading) -> float:
    return math.nan if reading.tokens is None or math.isnan(reading.loss) else reading.tokens.extraction_strength


def on_all_ranks(
    subject: Subject, lengths: Sequence[int], one_batch: Callable[[Sequence[int]], Sequence[T]], copies: int = 1
) -> dict[int, T]:
    """Results by item number, computed by the ranks in turn and gathered on all.

    `copies`: sequences per item in a batch.
    """
    group = subject.group
    mine: dict[int, T] = {}
    for numbers in rank_batches(lengths, max(1, subject.batch_tokens // copies), group.rank, group.size):
        mine.update(zip(numbers, one_batch(numbers), strict=True))
    return dict(group.gather(list(mine.items())))
