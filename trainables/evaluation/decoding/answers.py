"""What a model answers itself, greedily, and how much of that is known before it is asked.

Sharded over the ranks, results in the caller's order and the same on every rank. Knows questions and tasks of token
ids; one batch is decoded in `generate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trainables.batching.rows import Encoded
from trainables.evaluation.decoding.cuda_graphs import let_go
from trainables.evaluation.decoding.dynamic import before
from trainables.evaluation.decoding.greedy import generate
from trainables.evaluation.scoring.batches import rank_batches
from trainables.evaluation.scoring.evaluator import EvaluatedModel, ModelRunner
from trainables.evaluation.scoring.queries import Pair, Prompt, Reading

_KEPT = 8
"""Tokens with keys and values for one of `batch_tokens`, whose logits are there too. Most answers end long before their
limit, so that a decoding batch seldom comes near to it."""

Tokens = tuple[int, ...]


class Task(NamedTuple):
    """What is decoded: at most `limit` tokens after `prompt`."""

    prompt: Tokens
    limit: int


def answers(
    evaluated: EvaluatedModel, prompts: Iterable[Prompt], readings: Mapping[Pair, Reading] | None = None
) -> dict[Prompt, str]:
    """The greedily generated answer to every prompt, special tokens left out. Each prompt is asked once.

    `readings`: of pairs that may have the same prompts. As far as the model recites one of their answers, what it
    writes is known, and decoding begins where the longest recitation ends.
    """
    unique = list(dict.fromkeys(prompts))
    usual = evaluated.settings.max_new_tokens
    tasks = {
        prompt: Task(evaluated.prompt(prompt), usual if prompt.max_new_tokens is None else prompt.max_new_tokens)
        for prompt in unique
    }
    read = ((evaluated.encoded(pair), reading) for pair, reading in (readings or {}).items())
    written = decode(evaluated.runner, list(dict.fromkeys(tasks.values())), read)
    texts = {prompt: evaluated.text(written[task]) for prompt, task in tasks.items()}
    return {prompt: _before(text, prompt.stop) for prompt, text in texts.items()}


def _before(text: str, stop: str | None) -> str:
    return text.split(stop, 1)[0] if stop else text


def known_prefixes(prompts: Iterable[Tokens], read: Iterable[tuple[Encoded, Reading]]) -> dict[Tokens, Tokens]:
    """The first tokens that greedy decoding writes after these prompts, as far as readings tell. May hold the end.

    All recitations of one prompt are known_prefixes of the same text, so the longest says most.
    """
    known: dict[Tokens, Tokens] = dict.fromkeys(prompts, ())
    for row, reading in read:
        if reading.matched_prefix is None:
            continue
        ids, start = row.input_ids, row.answer_start
        recited = ids[start : start + reading.matched_prefix] + (() if reading.first_miss is None else (reading.first_miss,))
        if len(recited) > len(known.get(ids[:start], recited)):
            known[ids[:start]] = recited
    return known


def decode(
    runner: ModelRunner, tasks: Sequence[Task], read: Iterable[tuple[Encoded, Reading]] = ()
) -> dict[Task, Tokens]:
    """The tokens that greedy decoding writes for every task, the end left out.

    `read`: rows that have been read, which may begin with the same prompts.
    """
    ends, group = runner.ends, runner.group
    begun = known_prefixes(
        (task.prompt for task in tasks), () if any(runner.hides(task.prompt) for task in tasks) else read
    )
    first = {task: begun[task.prompt][: task.limit] for task in tasks}
    rest = [task for task, tokens in first.items() if ends.isdisjoint(tokens) and len(tokens) < task.limit]

    def one_batch(numbers: Sequence[int]) -> list[Tokens]:
        some = [rest[i] for i in numbers]
        return generate(
            runner.model,
            [runner.visible(task.prompt) + first[task] for task in some],
            [task.limit - len(first[task]) for task in some],
            ends=ends,
            pad_id=runner.end,
            all_done=group.all,
            device=group.device,
        )

    longest = [len(task.prompt) + task.limit for task in rest]
    hands = rank_batches(longest, _KEPT * runner.batch_tokens, group.rank, group.size)
    written = runner.run_sharded(hands, one_batch)
    let_go(group.device)
    for i, task in enumerate(rest):
        first[task] += written[i]
    return {task: before(tokens, ends) for task, tokens in first.items()}
