"""The greedy answers of a model to prompts, sharded over the ranks; results are the same on every rank.

Decoding starts after the tokens that are already known from teacher-forced scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trainables.batching.rows import Encoded
from trainables.evaluation.decoding.cuda_graphs import release
from trainables.evaluation.decoding.dynamic import until_end
from trainables.evaluation.decoding.greedy import generate
from trainables.evaluation.scoring.batches import rank_batches
from trainables.evaluation.scoring.evaluator import EvaluatedModel, ModelRunner
from trainables.evaluation.scoring.queries import Pair, Prompt, Reading
from trainables.runtime.progress import Stage

_KV_SHARE = 8
"""Tokens of keys and values per token of `batch_tokens`, which allows for logits. Most answers end long before their
limit, so a decoding batch rarely gets near it."""

Tokens = tuple[int, ...]


class Task(NamedTuple):
    """Decode at most `limit` tokens after `prompt`."""

    prompt: Tokens
    limit: int


def answers(
    evaluated: EvaluatedModel, prompts: Iterable[Prompt], readings: Mapping[Pair, Reading] | None = None
) -> dict[Prompt, str]:
    """The greedily generated answer to every prompt, without special tokens; a repeated prompt is answered once.

    `readings`: scores of pairs that may share these prompts. Decoding starts after the longest known prefix.
    """
    usual = evaluated.settings.max_new_tokens
    tasks = {
        prompt: Task(evaluated.prompt(prompt), usual if prompt.max_new_tokens is None else prompt.max_new_tokens)
        for prompt in dict.fromkeys(prompts)
    }
    read = ((evaluated.encoded(pair), reading) for pair, reading in (readings or {}).items())
    tokens = decode(evaluated.runner, list(dict.fromkeys(tasks.values())), read)
    texts = {prompt: evaluated.text(tokens[task]) for prompt, task in tasks.items()}
    return {prompt: text.split(prompt.stop, 1)[0] if prompt.stop else text for prompt, text in texts.items()}


def known_prefixes(prompts: Iterable[Tokens], read: Iterable[tuple[Encoded, Reading]]) -> dict[Tokens, Tokens]:
    """The first tokens of the greedy answer to each prompt, as far as readings reveal them. May include an end token.

    All matched prefixes of one prompt start the same text, so the longest is used.
    """
    known: dict[Tokens, Tokens] = dict.fromkeys(prompts, ())
    for row, reading in read:
        if reading.matched_prefix is None:
            continue
        ids, start = row.input_ids, row.answer_start
        prefix = ids[start : start + reading.matched_prefix]
        prefix += () if reading.first_miss is None else (reading.first_miss,)
        if len(prefix) > len(known.get(ids[:start], prefix)):
            known[ids[:start]] = prefix
    return known


def decode(
    runner: ModelRunner, tasks: Sequence[Task], read: Iterable[tuple[Encoded, Reading]] = ()
) -> dict[Task, Tokens]:
    """The greedily decoded tokens of every task, without the end token. `read`: scored rows that may share prompts."""
    ends, group = runner.ends, runner.group
    known = known_prefixes(
        (task.prompt for task in tasks), () if any(runner.hides(task.prompt) for task in tasks) else read
    )
    decoded = {task: known[task.prompt][: task.limit] for task in tasks}
    rest = [task for task, tokens in decoded.items() if ends.isdisjoint(tokens) and len(tokens) < task.limit]

    longest = [len(task.prompt) + task.limit for task in rest]
    batches = rank_batches(longest, _KV_SHARE * runner.batch_tokens, group.rank, group.size)
    stage = Stage("generating answers", sum(map(len, batches)))

    def one_batch(numbers: Sequence[int]) -> list[Tokens]:
        some = [rest[i] for i in numbers]
        most = max((task.limit - len(decoded[task]) for task in some), default=1)

        def all_done(ended: bool) -> bool:
            stage.step(len(some) / most)  # a batch of long answers takes minutes
            return group.all(ended)

        return generate(
            runner.model,
            [runner.visible(task.prompt) + decoded[task] for task in some],
            [task.limit - len(decoded[task]) for task in some],
            ends=ends,
            pad_id=runner.end,
            all_done=all_done,
            device=group.device,
        )

    generated = runner.run_sharded(stage, batches, one_batch)
    release(group.device)
    for i, task in enumerate(rest):
        decoded[task] += generated[i]
    return {task: until_end(tokens, ends) for task, tokens in decoded.items()}
