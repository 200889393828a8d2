"""What a model makes of given answers: every pair of question and answer teacher-forced, and what is read off it.

Sharded over the ranks, results in the caller's order and the same on every rank. Knows what is read off a forward pass;
not what for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.batching.packing import Layout
from trainables.batching.rows import Encoded, hiding_matters
from trainables.batching.scores import Scores
from trainables.evaluation.metrics.memorisation import extraction_strength, open_unlearning_extraction_strength
from trainables.evaluation.scoring.batches import Shape, deal, deal_questions
from trainables.evaluation.scoring.evaluator import EvaluatedModel, ModelRunner
from trainables.evaluation.scoring.prefix_tree import size
from trainables.evaluation.scoring.queries import Pair, Reading, Tokens
from trainables.evaluation.scoring.teacher_forced import (
    TeacherForced,
    UnsharedError,
    forced_from,
    score_answers,
    score_prefix_tree,
)
from trainables.evaluation.scoring.token_stats import read_tokens
from trainables.model.cpu.patch import reads_branches
from trainables.model.packed_attention import takes_packed
from trainables.model.scoring import LOGITS, make_batch, score

_CPU_TOKENS = 1024
"""In one forward pass on a CPU: more leave its caches, and rows of one batch are padded to a longer one."""


def read_answers(
    examinee: EvaluatedModel,
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
    closer = frozenset(closely) | closest
    theirs = examinee.settings.compat == "open_unlearning"  # which leaves out the last token, whatever it is
    looks = Looks(
        examinee.settings.min_k,
        {i: theirs or not pair.raw for i, pair in enumerate(unique) if pair in closer},
        frozenset(i for i, pair in enumerate(unique) if pair in closest),
        open_unlearning_extraction_strength if theirs else extraction_strength,
    )
    readings = read_rows(examinee.reader, [examinee.encoded(pair) for pair in unique], looks)
    return dict(zip(unique, readings, strict=True))


def answer_losses(examinee: EvaluatedModel, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Mean negative log-likelihood per answer token (nats, end of sequence included) of every pair."""
    return {pair: reading.loss for pair, reading in read_answers(examinee, pairs).items()}


@dataclass(frozen=True)
class Looks:
    """What is read off single tokens, by number of the row.

    `share`: of the tokens, for min-k. `closer`: the rows whose tokens are looked at, and whether an end of sequence
    closes them. `closest`: those of min-k++. `strength`: how extraction strength is counted.
    """

    share: float
    closer: Mapping[int, bool]
    closest: Collection[int] = frozenset()
    strength: Callable[[Sequence[bool]], float] = extraction_strength

    def readings(
        self, numbers: Sequence[int], scores: Scores, hits: Tensor | None = None, at: Tensor | None = None
    ) -> list[Reading]:
        """Of a batch of these rows, in order. `hits`, `at`: as `TeacherForced` has them."""
        losses = (-scores.token_log_probs.double().sum(-1) / scores.lengths).tolist()
        counts = scores.lengths.tolist()
        looked: dict[int, Tokens] = read_tokens(
            scores,
            {i: self.closer[number] for i, number in enumerate(numbers) if number in self.closer},
            {i for i, number in enumerate(numbers) if number in self.closest},
            self.share,
            hits,
            at,
            self.strength,
        )
        return [Reading(loss, count, looked.get(i)) for i, (loss, count) in enumerate(zip(losses, counts, strict=True))]


@torch.no_grad()
def read_rows(reader: ModelRunner, rows: Sequence[Encoded], looks: Looks) -> list[Reading]:
    """Every row teacher-forced, in order; a prompt is read once for all the rows that begin with it."""
    if hiding_matters(rows, reader.hidden):
        return _by_row(reader, rows, looks)
    if reads_branches(reader.model, max((len(row.input_ids) for row in rows), default=0)):
        return _by_question(reader, rows, looks, as_tree=True)
    # Prompt and answer in two passes pay where there is something to share. (A GPU would have to hold float32 logits.)
    alone = len({row.input_ids[: row.answer_start] for row in rows}) == len(rows)
    if alone and torch.device(reader.group.device).type == "cpu":
        return _by_row(reader, rows, looks)
    try:
        return _by_question(reader, rows, looks, as_tree=False)
    except UnsharedError:
        return _by_row(reader, rows, looks)


def _readings(looks: Looks, numbers: Sequence[int], forced: TeacherForced) -> list[Reading]:
    """Of a batch of these rows, in order, with what is recited."""
    both = zip(looks.readings(numbers, forced.scores, forced.hits, forced.at), _recited(forced), strict=True)
    return [reading._replace(recited=count, instead=token) for reading, (count, token) in both]


def _recited(forced: TeacherForced) -> list[tuple[int, int | None]]:
    """Of every answer: with how many hits it begins, and the likeliest token in place of the next one, if any."""
    missed = ~forced.hits & forced.scores.mask
    first = missed.to(torch.uint8).argmax(-1)
    instead = forced.likeliest.gather(-1, first.unsqueeze(-1)).squeeze(-1)
    start = forced.scores.mask.to(torch.uint8).argmax(-1)  # of padded rows: where the batch's earliest answer began
    columns = (missed.any(-1).tolist(), (first - start).tolist(), instead.tolist(), forced.scores.lengths.tolist())
    return [(place, token) if miss else (count, None) for miss, place, token, count in zip(*columns, strict=True)]


def _by_question(reader: ModelRunner, rows: Sequence[Encoded], looks: Looks, as_tree: bool) -> list[Reading]:
    """Rows with the same prompt together. `as_tree`: every beginning that rows of a batch share is read once."""
    questions: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        questions.setdefault(row.input_ids[: row.answer_start], []).append(number)
    prompts, asked = list(questions), list(questions.values())
    answers = [[rows[i].input_ids[len(prompt) :] for i in each] for prompt, each in questions.items()]

    def one_batch(numbers: Sequence[int]) -> list[list[Reading]]:
        batch = [prompts[i] for i in numbers], [answers[i] for i in numbers]
        if as_tree:
            forced = score_prefix_tree(reader.model, *batch, reader.group.device)
        else:
            forced = score_answers(reader.model, *batch, reader.end, reader.group.device)
        readings = iter(_readings(looks, [row for i in numbers for row in asked[i]], forced))
        return [[next(readings) for _ in asked[i]] for i in numbers]

    share = _budget(reader), reader.group.rank, reader.group.size
    if as_tree:
        hands = deal(
            [size([(*prompt, *text) for text in each]) for prompt, each in zip(prompts, answers, strict=True)], *share
        )
    else:
        hands = deal_questions([_shape(*question) for question in zip(prompts, answers, strict=True)], *share)
    read = reader.everywhere(hands, one_batch)
    found = {row: reading for i, each in enumerate(asked) for row, reading in zip(each, read[i], strict=True)}
    return [found[i] for i in range(len(rows))]


def _shape(prompt: tuple[int, ...], answers: Sequence[tuple[int, ...]]) -> Shape:
    return Shape(len(prompt), max(map(len, answers)), len(answers))


def _by_row(reader: ModelRunner, rows: Sequence[Encoded], looks: Looks) -> list[Reading]:
    """Every row with a prompt of its own: also for models whose layers do not keep plain keys and values."""
    layout: Layout = "packed" if takes_packed(reader.model) else "padded"

    def one_batch(numbers: Sequence[int]) -> list[Reading]:
        batch = make_batch([rows[i] for i in numbers], reader.end, reader.group.device, layout, reader.hidden)
        return _readings(looks, numbers, forced_from(score(reader.model, batch, LOGITS)))

    lengths = [len(row.input_ids) for row in rows]
    read = reader.everywhere(deal(lengths, _budget(reader), reader.group.rank, reader.group.size), one_batch)
    return [read[i] for i in range(len(rows))]


def _budget(reader: ModelRunner) -> int:
    """Tokens of one forward pass."""
    on_cpu = torch.device(reader.group.device).type == "cpu"
    return min(reader.batch_tokens, _CPU_TOKENS) if on_cpu else reader.batch_tokens
