"""How a question and its answer become tokens. Two templates; neither knows what the row is for.

Prompt and answer are tokenised apart, so a prompt has the same tokens in training, in teacher-forced metrics and in
generation: `encode(...).input_ids[:answer_start] == prompt_ids(...)`, whatever the tokenizer would merge between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainables.scores import Encoded

AUTO = "auto"

TODAY = "10 Apr 2025"
"""Chat templates that print the date would otherwise give other tokens every day. The date is open-unlearning's."""


@dataclass(frozen=True)
class Template:
    """`prompt`: token ids up to the answer. `answer`: the text that follows. `end`: the token id that closes it."""

    prompt: Callable[[PreTrainedTokenizerBase, str], list[int]]
    answer: Callable[[str], str]
    end: Callable[[PreTrainedTokenizerBase], int]


def encode(template: str, tokenizer: PreTrainedTokenizerBase, question: str, answer: str) -> Encoded:
    """Prompt, answer and end token of one row."""
    from trainables.scores import Encoded  # imports torch

    chosen = find_template(template, tokenizer)
    prompt = chosen.prompt(tokenizer, question)
    return Encoded((*prompt, *_ids(tokenizer, chosen.answer(answer)), chosen.end(tokenizer)), len(prompt))


def prompt_ids(template: str, tokenizer: PreTrainedTokenizerBase, question: str) -> tuple[int, ...]:
    """What generation of the answer starts from."""
    return tuple(find_template(template, tokenizer).prompt(tokenizer, question))


def end_id(template: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """The last token of every encoded row, where generation stops: end of sequence, or the chat's end of turn."""
    return find_template(template, tokenizer).end(tokenizer)


def pick_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """`chat` if the tokenizer has a chat template, else `plain`."""
    return "chat" if tokenizer.chat_template else "plain"


def find_template(name: str, tokenizer: PreTrainedTokenizerBase) -> Template:
    """The template of that name; `auto` leaves the choice to the tokenizer."""
    if name == AUTO:
        return TEMPLATES[pick_template(tokenizer)]
    if name not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise ValueError(f"template={name!r}: must be one of {known}; leave it out to let the tokenizer decide")
    return TEMPLATES[name]


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _plain_prompt(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    """Begins with a start token exactly if the tokenizer itself begins texts with it; having one is not enough."""
    text = f"Question: {question}\nAnswer:"
    start = tokenizer.bos_token_id
    begins = start is not None and list(tokenizer(text)["input_ids"])[:1] == [start]
    return ([start] if begins else []) + _ids(tokenizer, text)


def _end_of_sequence(tokenizer: PreTrainedTokenizerBase) -> int:
    end = tokenizer.eos_token_id
    if not isinstance(end, int):
        raise ValueError("eos_token=null: the tokenizer must have one, or answers would never end; set eos_token")
    return end


def _render(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], prompt: bool) -> str:
    """The chat template's own text, start token included. Reasoning is off where a template knows the switch."""
    if not tokenizer.chat_template:
        raise ValueError("template='chat': the tokenizer has no chat template; use template: plain")
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=prompt, date_string=TODAY, enable_thinking=False
    )
    return str(text)


def _chat_prompt(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    return _ids(tokenizer, _render(tokenizer, [{"role": "user", "content": question}], prompt=True))


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The special token that the chat template puts after an answer; end of sequence if it puts none.

    Usually they are one. Gemma and Phi end a turn with a token of its own; models trained so never end with the other.
    """
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
    rest = _render(tokenizer, turns, prompt=False).rpartition("answer")[2].strip()
    first = _ids(tokenizer, rest)[:1]
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return first[0] if first and first[0] in special else _end_of_sequence(tokenizer)


TEMPLATES: dict[str, Template] = {
    "plain": Template(_plain_prompt, lambda answer: f" {answer}", _end_of_sequence),
    "chat": Template(_chat_prompt, lambda answer: answer, _end_of_turn),
}
