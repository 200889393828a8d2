"""What leaks through a prompt: the answer's probability, how much of it is generated, from where on it is recited.

Works on token ids, so that a prompt may be anything. Sharded over the ranks, the same result on every rank. Knows
neither attacks nor where a model comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.evaluation.batches import deal
from trainables.evaluation.generate import generate
from trainables.evaluation.rouge import rouge_l_recall
from trainables.evaluation.tokens import read_tokens
from trainables.group import Group
from trainables.scores import LOGITS, Encoded, collate, score

T = TypeVar("T")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """A prompt and the answer it is to elicit, whose text is `answer`. `closed`: whether the end token follows it."""

    encoded: Encoded
    answer: str
    closed: bool = True

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.encoded.input_ids[: self.encoded.answer_start]


@dataclass(frozen=True)
class Subject:
    """The model under attack (in evaluation mode), and how it is asked.

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
    """By probe, in the caller's order; NaN where the model gives no distribution.

    `probability`: p(answer | prompt)^(1 / tokens), end included. `strength`: extraction strength, the share of the
    answer that teacher-forced argmax recites to its last token, end excluded. `rouge`: ROUGE-L recall of the greedy
    answer.
    """

    probability: Floats
    strength: Floats
    rouge: Floats
    generated: tuple[str, ...]

    def means(self, chosen: Sequence[int] | None = None) -> dict[str, float]:
        """Means over all probes, or over some, by the last part of a metric's name."""
        picked = slice(None) if chosen is None else list(chosen)
        return {
            "forget_rouge": float(self.rouge[picked].mean()),
            "forget_probability": float(self.probability[picked].mean()),
            "extraction_strength": float(self.strength[picked].mean()),
        }


def measure(subject: Subject, probes: Sequence[Probe]) -> Findings:
    """Score and generate the answer of every probe; all ranks call it together. Raises ValueError without probes."""
    if not probes:
        raise ValueError("no probes: an attack needs one row at least; leave the attack out")
    scored = _score(subject, probes)
    losses = [scored[i][0] for i in range(len(probes))]
    # A model without a distribution would only be waited for, token by token, to its longest answer.
    asked = [i for i, loss in enumerate(losses) if not math.isnan(loss)]
    texts = dict(zip(asked, _generate(subject, [probes[i].prompt for i in asked]), strict=True))
    rouge = [rouge_l_recall(probes[i].answer, texts[i]) if i in texts else math.nan for i in range(len(probes))]
    return Findings(
        probability=np.exp(-np.array(losses)),
        strength=np.array([scored[i][1] for i in range(len(probes))]),
        rouge=np.array(rouge),
        generated=tuple(texts.get(i, "") for i in range(len(probes))),
    )


@torch.no_grad()
def _score(subject: Subject, probes: Sequence[Probe]) -> dict[int, tuple[float, float]]:
    """(mean loss of the answer's tokens, extraction strength) by number of the probe. Sums in float64."""

    def one_batch(numbers: Sequence[int]) -> list[tuple[float, float]]:
        batch = collate([probes[i].encoded for i in numbers], subject.end).to(subject.group.device)
        scores = score(subject.model, batch, LOGITS)
        losses: list[float] = (-scores.token_log_probs.double().sum(-1) / scores.lengths).tolist()
        tokens = read_tokens(scores, {row: probes[i].closed for row, i in enumerate(numbers)}, frozenset(), share=1.0)
        strengths = [tokens[row].extraction_strength for row in range(len(numbers))]
        return [(loss, loss if math.isnan(loss) else found) for loss, found in zip(losses, strengths, strict=True)]

    return everywhere(subject, [len(probe.encoded.input_ids) for probe in probes], one_batch)


def _generate(subject: Subject, prompts: Sequence[tuple[int, ...]]) -> list[str]:
    """The greedy continuation of every prompt."""

    def one_batch(numbers: Sequence[int]) -> list[tuple[int, ...]]:
        return generate(
            subject.model,
            [prompts[i] for i in numbers],
            subject.max_new_tokens,
            eos_id=subject.end,
            pad_id=subject.end,
            all_done=subject.group.all,
            device=subject.group.device,
        )

    tokens = everywhere(subject, [len(prompt) for prompt in prompts], one_batch)
    return [subject.text(tokens[i]) for i in range(len(prompts))]


def everywhere(
    subject: Subject, lengths: Sequence[int], one_batch: Callable[[Sequence[int]], Sequence[T]], copies: int = 1
) -> dict[int, T]:
    """Results by item number, computed by the ranks in turn and gathered on all. `copies`: sequences that an item makes
    in a batch."""
    group = subject.group
    mine: dict[int, T] = {}
    for numbers in deal(lengths, max(1, subject.batch_tokens // copies), group.rank, group.size):
        mine.update(zip(numbers, one_batch(numbers), strict=True))
    return dict(group.gather(list(mine.items())))
