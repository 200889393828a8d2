"""What a model answers itself, greedily, and how much of that is known before it is asked.

Sharded over the ranks, results in the caller's order and the same on every rank. Knows questions; decoding is in
`generate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trainables.evaluation.asked import Pair, Prompt, Reading
from trainables.evaluation.batches import deal
from trainables.evaluation.examinee import Examinee
from trainables.evaluation.generate import generate

_KEPT = 8
"""Tokens with keys and values for one of `batch_tokens`, whose logits are there too. Most answers end long before their
limit, so that a decoding batch seldom comes near to it."""

Tokens = tuple[int, ...]


class _Task(NamedTuple):
    """What is decoded: at most `limit` tokens after `prompt`."""

    prompt: Tokens
    limit: int


def answers(
    examinee: Examinee, prompts: Iterable[Prompt], readings: Mapping[Pair, Reading] | None = None
) -> dict[Prompt, str]:
    """The greedily generated answer to every prompt, special tokens left out. Each prompt is asked once.

    `readings`: of pairs that may have the same prompts. As far as the model recites one of their answers, what it
    writes is known, and decoding begins where the longest recitation ends.
    """
    unique = list(dict.fromkeys(prompts))
    usual = examinee.settings.max_new_tokens
    tasks = {
        prompt: _Task(examinee.prompt(prompt), usual if prompt.max_new_tokens is None else prompt.max_new_tokens)
        for prompt in unique
    }
    begun = beginnings(examinee, {task.prompt for task in tasks.values()}, readings or {})
    written = _decode(examinee, list(dict.fromkeys(tasks.values())), begun)
    decode = examinee.tokenizer.decode
    texts = {prompt: str(decode(list(written[task]), skip_special_tokens=True)) for prompt, task in tasks.items()}
    return {prompt: _before(text, prompt.stop) for prompt, text in texts.items()}


def _before(text: str, stop: str | None) -> str:
    return text.split(stop, 1)[0] if stop else text


def beginnings(examinee: Examinee, prompts: Iterable[Tokens], readings: Mapping[Pair, Reading]) -> dict[Tokens, Tokens]:
    """The first tokens that greedy decoding writes after these prompts, as far as readings tell. May hold the end.

    All recitations of one prompt are beginnings of the same text, so the longest says most.
    """
    known: dict[Tokens, Tokens] = dict.fromkeys(prompts, ())
    for pair, reading in readings.items():
        if reading.recited is None:
            continue
        ids, start = examinee.encoded(pair).input_ids, examinee.encoded(pair).answer_start
        recited = ids[start : start + reading.recited] + (() if reading.instead is None else (reading.instead,))
        if len(recited) > len(known.get(ids[:start], recited)):
            known[ids[:start]] = recited
    return known


def _decode(examinee: Examinee, tasks: Sequence[_Task], begun: Mapping[Tokens, Tokens]) -> dict[_Task, Tokens]:
    """The tokens of every task, the end left out."""
    end, group = examinee.end, examinee.group
    first = {task: begun[task.prompt][: task.limit] for task in tasks}
    rest = [task for task, tokens in first.items() if end not in tokens and len(tokens) < task.limit]

    def one_batch(numbers: Sequence[int]) -> list[Tokens]:
        some = [rest[i] for i in numbers]
        return generate(
            examinee.model,
            [task.prompt + first[task] for task in some],
            [task.limit - len(first[task]) for task in some],
            eos_id=end,
            pad_id=end,
            all_done=group.all,
            device=group.device,
        )

    longest = [len(task.prompt) + task.limit for task in rest]
    hands = deal(longest, _KEPT * examinee.settings.batch_tokens, group.rank, group.size)
    written = examinee.everywhere(hands, one_batch)
    for i, task in enumerate(rest):
        first[task] += written[i]
    return {task: tokens[: tokens.index(end)] if end in tokens else tokens for task, tokens in first.items()}
