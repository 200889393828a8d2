"""What a model makes of given answers: every pair of question and answer teacher-forced, and what is read off it.

Sharded over the ranks, results in the caller's order and the same on every rank. Knows what is read off a forward pass;
not what for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.evaluation.asked import Pair, Reading, Tokens
from trainables.evaluation.batches import Shape, deal, deal_questions
from trainables.evaluation.examinee import Examinee
from trainables.evaluation.forced import Forced, UnsharedError, score_answers
from trainables.evaluation.tokens import read_tokens
from trainables.scores import LOGITS, Scores, collate, score

_CPU_TOKENS = 1024
"""In one forward pass on a CPU: more leave its caches, and rows of one batch are padded to a longer one."""


@torch.no_grad()
def read_answers(
    examinee: Examinee,
    pairs: Iterable[Pair],
    closely: Collection[Pair] = frozenset(),
    min_k_plus_plus: Collection[Pair] = frozenset(),
) -> dict[Pair, Reading]:
    """Every pair teacher-forced; one that comes up several times is scored once, a prompt once for all its answers.

    `closely`: the pairs whose single tokens are looked at; `min_k_plus_plus`: those that min-k++ needs normalised
    log-probs of. Softmax in float32, sums in float64.
    """
    unique = list(dict.fromkeys(pairs))
    closest = frozenset(min_k_plus_plus)
    wanted = _Wanted(examinee.settings.min_k, frozenset(closely) | closest, closest)
    try:
        return _by_question(examinee, unique, wanted)
    except UnsharedError:
        return _by_row(examinee, unique, wanted)


def answer_losses(examinee: Examinee, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Mean negative log-likelihood per answer token (nats, end of sequence included) of every pair."""
    return {pair: reading.loss for pair, reading in read_answers(examinee, pairs).items()}


@dataclass(frozen=True)
class _Wanted:
    """What is read off single tokens: `share` of them for min-k; of which pairs anything, and of which min-k++."""

    share: float
    closer: Collection[Pair]
    closest: Collection[Pair]

    def readings(self, pairs: Sequence[Pair], scores: Scores, hits: Tensor | None = None) -> list[Reading]:
        """Of a batch's rows, in order. `hits`: (rows, positions), where the answer's tokens are the likeliest."""
        losses = (-scores.token_log_probs.double().sum(-1) / scores.lengths).tolist()
        counts = scores.lengths.tolist()
        looked: dict[int, Tokens] = read_tokens(
            scores,
            {i: not pair.raw for i, pair in enumerate(pairs) if pair in self.closer},
            {i for i, pair in enumerate(pairs) if pair in self.closest},
            self.share,
            hits,
        )
        return [Reading(loss, count, looked.get(i)) for i, (loss, count) in enumerate(zip(losses, counts, strict=True))]


def _recited(forced: Forced) -> list[tuple[int, int | None]]:
    """Of every answer: with how many hits it begins, and the likeliest token in place of the next one, if any."""
    missed = ~forced.hits & forced.scores.mask
    first = missed.to(torch.uint8).argmax(-1)
    instead = forced.likeliest.gather(-1, first.unsqueeze(-1)).squeeze(-1)
    columns = (missed.any(-1).tolist(), first.tolist(), instead.tolist(), forced.scores.lengths.tolist())
    return [(place, token) if miss else (count, None) for miss, place, token, count in zip(*columns, strict=True)]


def _by_question(examinee: Examinee, pairs: Sequence[Pair], wanted: _Wanted) -> dict[Pair, Reading]:
    """Pairs with the same prompt together."""
    rows = {pair: examinee.encoded(pair) for pair in pairs}
    questions: dict[tuple[int, ...], list[Pair]] = {}
    for pair, row in rows.items():
        questions.setdefault(row.input_ids[: row.answer_start], []).append(pair)
    prompts, asked = list(questions), list(questions.values())
    answers = [[rows[pair].input_ids[len(prompt) :] for pair in each] for prompt, each in questions.items()]
    shapes = [Shape(len(prompt), max(map(len, each)), len(each)) for prompt, each in zip(prompts, answers, strict=True)]

    def one_batch(numbers: Sequence[int]) -> list[list[Reading]]:
        forced = score_answers(
            examinee.model,
            [prompts[i] for i in numbers],
            [answers[i] for i in numbers],
            examinee.end,
            examinee.group.device,
        )
        some = [pair for i in numbers for pair in asked[i]]
        both = zip(wanted.readings(some, forced.scores, forced.hits), _recited(forced), strict=True)
        readings = (reading._replace(recited=count, instead=token) for reading, (count, token) in both)
        return [[next(readings) for _ in asked[i]] for i in numbers]

    group, budget = examinee.group, examinee.settings.batch_tokens
    if torch.device(group.device).type == "cpu":
        budget = min(budget, _CPU_TOKENS)
    hands = deal_questions(shapes, budget, group.rank, group.size)
    read = examinee.everywhere(hands, one_batch)
    found = {pair: reading for i, each in enumerate(asked) for pair, reading in zip(each, read[i], strict=True)}
    return {pair: found[pair] for pair in pairs}


def _by_row(examinee: Examinee, pairs: Sequence[Pair], wanted: _Wanted) -> dict[Pair, Reading]:
    """Every pair with a prompt of its own, for models whose layers do not keep plain keys and values."""
    rows = [examinee.encoded(pair) for pair in pairs]

    def one_batch(numbers: Sequence[int]) -> list[Reading]:
        batch = collate([rows[i] for i in numbers], examinee.end).to(examinee.group.device)
        return wanted.readings([pairs[i] for i in numbers], score(examinee.model, batch, LOGITS))

    group = examinee.group
    hands = deal([len(row.input_ids) for row in rows], examinee.settings.batch_tokens, group.rank, group.size)
    read = examinee.everywhere(hands, one_batch)
    return {pair: read[i] for i, pair in enumerate(pairs)}
