"""The rows that losses are compared on, tokenised in two ways, and how a step's rows are dealt out to micro-batches.

Answers are drawn from the reference model, so that no token is hopeless: weights such as p^5 are then not zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from tests.goldens.exact_model import VOCABULARY, ExactLlama, reference_model

END, PAD = 2, 198
FIRST, LAST = 5, 197
"""Ordinary tokens."""

PROMPTS = (4, 3, 8, 6, 3)
ANSWERS = (5, 2, 10, 6, 4)
OTHER_ANSWERS = (3, 7, 4, 2, 9)
RETAIN_PROMPTS = (7, 3, 4, 8, 5)
RETAIN_ANSWERS = (7, 3, 6, 9, 3)
OTHER_RETAIN_ANSWERS = (4, 8, 2, 5, 6)
"""Tokens of each row's prompt and answer, end of sequence included."""


@dataclass(frozen=True)
class Row:
    """`ids`: prompt, answer and end of sequence; the answer starts at `answer`."""

    ids: tuple[int, ...]
    answer: int


@dataclass(frozen=True)
class Micro:
    """The rows of one micro-batch; `alternates` belong to the forget rows, `retain_alternates` to the retain rows."""

    forget: tuple[Row, ...]
    retain: tuple[Row, ...]
    alternates: tuple[Row, ...]
    retain_alternates: tuple[Row, ...]

    def at(self, places: tuple[int, ...]) -> Micro:
        kinds = (self.forget, self.retain, self.alternates, self.retain_alternates)
        return Micro(*(tuple(rows[i] for i in places) for rows in kinds))


@dataclass(frozen=True)
class Tokenization:
    """All rows of one step. `pad`: the padding token; `end`: the end of sequence."""

    pad: int
    end: int
    rows: Micro


@dataclass(frozen=True)
class Partition:
    """`workers`: of each worker, its micro-batches, as places of rows."""

    workers: tuple[tuple[tuple[int, ...], ...], ...]


PARTITIONS = {
    "one": Partition((((0, 1, 2, 3, 4),),)),
    "two_two_one": Partition((((0, 1), (2, 3), (4,)),)),
    "single_rows": Partition((((0,), (1,), (2,), (3,), (4,)),)),
    "two_workers": Partition((((0, 2, 4),), ((1, 3),))),
    "two_workers_twice": Partition((((0,), (2,)), ((1,), (3,)))),
}
"""Workers have equally many micro-batches everywhere: where they had not, the Trainer would repeat rows."""


def tokenizations() -> dict[str, Tokenization]:
    """`apart`: padding is a token of its own. `pad_is_end`: it is the end of a turn, which prompts have inside too."""
    reference = reference_model()
    apart = Tokenization(PAD, END, _Writer(reference, seed=21, turns=False).step())
    return {"apart": apart, "pad_is_end": Tokenization(END, END, _Writer(reference, seed=22, turns=True).step())}


class _Writer:
    """Draws prompts evenly and answers from the model. `turns`: prompts have the end token inside, not in front."""

    def __init__(self, model: ExactLlama, seed: int, turns: bool) -> None:
        self._model, self._turns = model, turns
        self._uniforms = _uniforms(seed)

    def step(self) -> Micro:
        forget = tuple(map(self._prompt, PROMPTS))
        retain = tuple(map(self._prompt, RETAIN_PROMPTS))
        return Micro(
            self._answered(forget, ANSWERS),
            self._answered(retain, RETAIN_ANSWERS),
            self._answered(forget, OTHER_ANSWERS),
            self._answered(retain, OTHER_RETAIN_ANSWERS),
        )

    def _prompt(self, length: int) -> list[int]:
        prompt = [FIRST + int(next(self._uniforms) * (LAST + 1 - FIRST)) for _ in range(length)]
        if self._turns:
            prompt[-2] = END
            if length > 6:
                prompt[2] = END
        return prompt

    def _answered(self, prompts: tuple[list[int], ...], lengths: tuple[int, ...]) -> tuple[Row, ...]:
        return tuple(self._row(prompt, length) for prompt, length in zip(prompts, lengths, strict=True))

    def _row(self, prompt: list[int], length: int) -> Row:
        ids = list(prompt)
        for _ in range(length - 1):
            ids.append(self._next_token(ids))
        return Row((*ids, END), len(prompt))

    def _next_token(self, ids: list[int]) -> int:
        with torch.no_grad():
            logits = self._model(torch.tensor([ids])).logits[0, -1]
        others = [i for i in range(VOCABULARY) if not FIRST <= i <= LAST]
        logits[others] = float("-inf")
        share = np.cumsum(logits.softmax(-1).numpy())
        return int(np.searchsorted(share, next(self._uniforms) * share[-1], side="right"))


def _uniforms(seed: int) -> Iterator[float]:
    """Numbers in [0, 1)."""
    generator = np.random.PCG64(seed)
    while True:
        yield (int(generator.random_raw()) >> 11) * 2.0**-53
