"""Scores given answers: every (question, answer) pair teacher-forced, with losses and token statistics.

Sharded over the ranks; results are in the caller's order and the same on every rank.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainables.batching.packing import Layout
from trainables.batching.rows import Encoded, collate, hiding_matters
from trainables.evaluation.metrics.memorisation import extraction_strength, open_unlearning_extraction_strength
from trainables.evaluation.scoring.batches import QuestionShape, question_batches, rank_batches
from trainables.evaluation.scoring.evaluator import EvaluatedModel, ModelRunner
from trainables.evaluation.scoring.prefix_tree import tree_size
from trainables.evaluation.scoring.queries import Pair, Reading
from trainables.evaluation.scoring.teacher_forced import (
    TeacherForced,
    UnsharedError,
    score_answers,
    score_prefix_tree,
    teacher_forced_scores,
)
from trainables.evaluation.scoring.token_stats import token_stats
from trainables.model.cpu.patch import reads_branches
from trainables.model.packed_attention import takes_packed
from trainables.model.scoring import LOGITS, make_batch, score
from trainables.runtime.fast_paths import TOLERANCE, Outcome, Ways, prove, without
from trainables.runtime.progress import Stage
from trainables.self_check.layers import kind_of

_COMPARED = 4  # rows that the prefix tree proves itself on
_CPU_TOKENS = 1024
"""Per forward pass on a CPU: more do not fit its caches, and longer batches need more padding."""


def read_answers(
    evaluated: EvaluatedModel,
    pairs: Iterable[Pair],
    token_pairs: Collection[Pair] = frozenset(),
    min_k_plus_plus: Collection[Pair] = frozenset(),
) -> dict[Pair, Reading]:
    """Every pair teacher-forced; a repeated pair is scored once, and a prompt is read once for all of its answers.

    `token_pairs`: the pairs to compute token statistics for; `min_k_plus_plus`: those that also need min-k++. Softmax
    in float32, sums in float64.
    """
    unique = list(dict.fromkeys(pairs))
    normalised = frozenset(min_k_plus_plus)
    detailed = frozenset(token_pairs) | normalised
    open_unlearning = evaluated.settings.compat == "open_unlearning"  # always leaves out the last token
    request = TokenRequest(
        evaluated.settings.min_k,
        {i: open_unlearning or not pair.raw for i, pair in enumerate(unique) if pair in detailed},
        frozenset(i for i, pair in enumerate(unique) if pair in normalised),
        open_unlearning_extraction_strength if open_unlearning else extraction_strength,
    )
    readings = read_rows(evaluated.runner, [evaluated.encoded(pair) for pair in unique], request)
    return dict(zip(unique, readings, strict=True))


def answer_losses(evaluated: EvaluatedModel, pairs: Iterable[Pair]) -> dict[Pair, float]:
    """Mean negative log-likelihood per answer token (nats, end of sequence included) of every pair."""
    return {pair: reading.loss for pair, reading in read_answers(evaluated, pairs).items()}


@dataclass(frozen=True)
class TokenRequest:
    """Which token statistics to compute, by row number.

    `share`: of the tokens, for min-k. `rows`: the rows that need statistics, and whether each ends with an end of
    sequence. `min_k_rows`: the rows that need min-k++. `strength`: the definition of extraction strength.
    """

    share: float
    rows: Mapping[int, bool]
    min_k_rows: Collection[int] = frozenset()
    strength: Callable[[Sequence[bool]], float] = extraction_strength


@torch.no_grad()
def read_rows(runner: ModelRunner, rows: Sequence[Encoded], request: TokenRequest) -> list[Reading]:
    """Every row teacher-forced, in order; a prompt is read once for all rows that begin with it."""
    if hiding_matters(rows, runner.hidden):
        return _by_row(runner, rows, request)
    if reads_branches(runner.model, max((len(row.input_ids) for row in rows), default=0)) and _proves_tree(
        runner, rows
    ):
        return _by_question(runner, rows, request, as_tree=True)
    # Separate passes over prompts and answers pay off only if prompts are shared. (On a GPU they also save float32
    # logits.)
    unshared = len({row.input_ids[: row.answer_start] for row in rows}) == len(rows)
    if unshared and torch.device(runner.group.device).type == "cpu":
        return _by_row(runner, rows, request)
    try:
        return _by_question(runner, rows, request, as_tree=False)
    except UnsharedError:
        return _by_row(runner, rows, request)


def _proves_tree(runner: ModelRunner, rows: Sequence[Encoded]) -> bool:
    """Whether a tree of the first rows gives their log-probs; compared once per process and kind of model."""
    model: Any = runner.model
    dtype, device = next(model.parameters()).dtype, runner.group.device
    ways = tree_ways(model, rows[:_COMPARED], runner.end, device)
    return prove("prefix tree", kind_of(model, dtype, device), ways, TOLERANCE[dtype], runner.group)


def tree_ways(model: Any, rows: Sequence[Encoded], pad_id: int, device: torch.device | str) -> Ways:
    """The log-probs of the rows' answers from a prefix tree, and from padded rows through the library's layers."""

    def fast() -> Outcome:
        prompts = [row.input_ids[: row.answer_start] for row in rows]
        answers = [[row.input_ids[row.answer_start :]] for row in rows]
        scores = score_prefix_tree(model, prompts, answers, device).scores
        return Outcome([scores.token_log_probs[scores.mask]])

    def plain() -> Outcome:
        with torch.no_grad(), without("lean layers"):
            scores = score(model, collate(rows, pad_id).to(device))
        return Outcome([scores.token_log_probs[scores.mask]])

    return fast, plain


def _readings(request: TokenRequest, numbers: Sequence[int], forced: TeacherForced) -> list[Reading]:
    """Readings of one batch; `numbers`: its rows in order."""
    scores = forced.scores
    losses = (-scores.token_log_probs.double().sum(-1) / scores.lengths).tolist()
    tokens = token_stats(
        forced,
        {i: request.rows[number] for i, number in enumerate(numbers) if number in request.rows},
        {i for i, number in enumerate(numbers) if number in request.min_k_rows},
        request.share,
        request.strength,
    )
    found = zip(losses, scores.lengths.tolist(), _first_misses(forced), strict=True)
    return [Reading(loss, count, tokens.get(i), *miss) for i, (loss, count, miss) in enumerate(found)]


def _first_misses(forced: TeacherForced) -> list[tuple[int, int | None]]:
    """For every answer: the number of hits it starts with, and the likeliest token in place of the next one, if any."""
    missed = ~forced.hits & forced.scores.mask
    first = missed.to(torch.uint8).argmax(-1)
    instead = forced.likeliest.gather(-1, first.unsqueeze(-1)).squeeze(-1)
    start = forced.scores.mask.to(torch.uint8).argmax(-1)  # padded rows start where the batch's earliest answer does
    columns = (missed.any(-1).tolist(), (first - start).tolist(), instead.tolist(), forced.scores.lengths.tolist())
    return [(place, token) if miss else (count, None) for miss, place, token, count in zip(*columns, strict=True)]


def _by_question(runner: ModelRunner, rows: Sequence[Encoded], request: TokenRequest, as_tree: bool) -> list[Reading]:
    """Rows with the same prompt together. `as_tree`: read every prefix that rows of a batch share only once."""
    questions: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        questions.setdefault(row.input_ids[: row.answer_start], []).append(number)
    prompts, members = list(questions), list(questions.values())
    answers = [[rows[i].input_ids[len(prompt) :] for i in each] for prompt, each in questions.items()]

    def one_batch(numbers: Sequence[int]) -> list[list[Reading]]:
        batch = [prompts[i] for i in numbers], [answers[i] for i in numbers]
        if as_tree:
            forced = score_prefix_tree(runner.model, *batch, runner.group.device)
        else:
            forced = score_answers(runner.model, *batch, runner.end, runner.group.device)
        readings = iter(_readings(request, [row for i in numbers for row in members[i]], forced))
        return [[next(readings) for _ in members[i]] for i in numbers]

    share = _budget(runner), runner.group.rank, runner.group.size
    both = list(zip(prompts, answers, strict=True))
    if as_tree:
        batches = rank_batches([tree_size([(*prompt, *text) for text in each]) for prompt, each in both], *share)
    else:
        shapes = [QuestionShape(len(prompt), max(map(len, each)), len(each)) for prompt, each in both]
        batches = question_batches(shapes, *share)
    read = runner.run_sharded(Stage("scoring answers", sum(map(len, batches))), batches, one_batch)
    found = {row: reading for i, each in enumerate(members) for row, reading in zip(each, read[i], strict=True)}
    return [found[i] for i in range(len(rows))]


def _by_row(runner: ModelRunner, rows: Sequence[Encoded], request: TokenRequest) -> list[Reading]:
    """Every row with its own prompt: works for models whose layers do not keep plain keys and values, too."""
    layout: Layout = "packed" if takes_packed(runner.model) else "padded"

    def one_batch(numbers: Sequence[int]) -> list[Reading]:
        batch = make_batch([rows[i] for i in numbers], runner.end, runner.group.device, layout, runner.hidden)
        return _readings(request, numbers, teacher_forced_scores(score(runner.model, batch, LOGITS)))

    lengths = [len(row.input_ids) for row in rows]
    batches = rank_batches(lengths, _budget(runner), runner.group.rank, runner.group.size)
    read = runner.run_sharded(Stage("scoring answers", sum(map(len, batches))), batches, one_batch)
    return [read[i] for i in range(len(rows))]


def _budget(runner: ModelRunner) -> int:
    """Tokens per forward pass."""
    on_cpu = torch.device(runner.group.device).type == "cpu"
    return min(runner.batch_tokens, _CPU_TOKENS) if on_cpu else runner.batch_tokens
