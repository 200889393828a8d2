"""Random scores to try losses on: one Case is what a forget loss could ever read, from raw logits.

`forget_of` hands a method only what it declared, so that a loss that reads more fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.batching.scores import Scores
from trainables.methods import Forget, Method, Retain

Array = NDArray[np.float64]
ROWS, POSITIONS, OTHER_POSITIONS, VOCABULARY, WIDTH = 3, 5, 4, 7, 6


@dataclass(frozen=True)
class Answers:
    """Which tokens, (rows, positions), and which positions are part of the answer: 1 to all, starting anywhere."""

    targets: NDArray[np.int64]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """Logits (rows, positions, vocabulary) and hidden states (rows, positions, width), float64.

    `model`, `reference`: of the answers that must go; `alternative`, `alternative_reference`: of other answers to the
    same questions, with other lengths; `hidden`, `hidden_reference`: of the first two.
    """

    answers: Answers
    others: Answers
    model: Array
    reference: Array
    alternative: Array
    alternative_reference: Array
    hidden: Array
    hidden_reference: Array


LEAVES = tuple(field.name for field in fields(Case) if field.name not in ("answers", "others"))
FROZEN = ("reference", "alternative_reference", "hidden_reference")


def case(seed: int) -> Case:
    rng = np.random.default_rng(seed)

    def answers(positions: int) -> Answers:
        start = rng.integers(0, positions, ROWS)
        stop = rng.integers(start + 1, positions + 1)
        at = np.arange(positions)
        return Answers(rng.integers(0, VOCABULARY, (ROWS, positions)), (at >= start[:, None]) & (at < stop[:, None]))

    of_answers, of_others = answers(POSITIONS), answers(OTHER_POSITIONS)
    answer = [rng.normal(0, 2, (ROWS, POSITIONS, VOCABULARY)) for _ in range(2)]
    other = [rng.normal(0, 2, (ROWS, OTHER_POSITIONS, VOCABULARY)) for _ in range(2)]
    hidden = [rng.normal(0, 2, (ROWS, POSITIONS, WIDTH)) for _ in range(2)]
    return Case(of_answers, of_others, *answer, *other, *hidden)


def leaves(data: Case, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Every array of the case as a tensor that gradients are taken of."""
    return {name: torch.tensor(getattr(data, name), dtype=dtype, requires_grad=True) for name in LEAVES}


def scores(logits: Tensor, answers: Answers, hidden: Tensor | None = None) -> Scores:
    """What `trainables.model.scoring.score` makes of these logits, everything kept."""
    targets, mask = torch.from_numpy(answers.targets), torch.from_numpy(answers.mask)
    log_probs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return Scores(log_probs.masked_fill(~mask, 0.0), mask, logits, targets, hidden)


def only(given: Scores, logits: bool = False, hidden: bool = False) -> Scores:
    """The same scores with only the requested parts."""
    return Scores(
        given.token_log_probs,
        given.mask,
        given.logits if logits else None,
        given.targets if logits else None,
        given.hidden if hidden else None,
    )


def forget_of(method: Method, data: Case, tensors: Mapping[str, Tensor], values: Mapping[str, float]) -> Forget:
    """What the method declared, and nothing else."""
    model = scores(tensors["model"], data.answers, tensors["hidden"])
    reference = alternative = of_alternative = None
    if method.reference != "none":
        reference = only(scores(tensors["reference"], data.answers), logits=method.reference == "logits")
    if method.alternative != "none":
        alternative = only(scores(tensors["alternative"], data.others))
        if method.reference != "none":
            of_alternative = only(scores(tensors["alternative_reference"], data.others))
    model = only(model, method.needs_logits, method.needs_hidden)
    return with_statistic(method, Forget(model, reference, alternative, of_alternative, seed=11), values)


def with_statistic(method: Method, forget: Forget, values: Mapping[str, float]) -> Forget:
    """The inputs with the mean of the method's statistic over their rows, if it declares one."""
    return forget if method.statistic is None else replace(forget, statistic=method.statistic(forget, values).mean())


def retain_of(data: Case, tensors: Mapping[str, Tensor]) -> Retain:
    """Everything that a retain term may read; the alternative is an answer to the same questions."""
    return Retain(
        scores(tensors["model"], data.answers, tensors["hidden"]),
        scores(tensors["reference"], data.answers, tensors["hidden_reference"]),
        scores(tensors["alternative"], data.others),
    )


def defaults(method: Method) -> dict[str, float]:
    return {name: each.default for name, each in method.hyperparameters.items()}


def gradients(value: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    found = torch.autograd.grad(value.sum(), list(tensors.values()), allow_unused=True)
    return dict(zip(tensors, found, strict=True))


def moved_outside(data: Case, seed: int) -> Case:
    """The same inside the answers, anything elsewhere."""
    rng = np.random.default_rng(seed)
    moved: dict[str, Any] = {}
    for leaf in LEAVES:
        there: Array = getattr(data, leaf)
        answers = data.others if leaf.startswith("alternative") else data.answers
        moved[leaf] = np.where(answers.mask[..., None], there, there + rng.normal(0, 50, there.shape))
    return replace(data, **moved)


def rows_of(forget: Forget, start: int, stop: int) -> Forget:
    """Rows start..stop of every input; the statistic stays that of the whole batch."""
    parts = ("model", "reference", "alternative", "alternative_reference")
    given: dict[str, Any] = {part: getattr(forget, part) for part in parts}
    given = {part: None if scores is None else scores.rows(start, stop) for part, scores in given.items()}
    return replace(forget, **given)
