"""Turns rows into tokens: questions and answers through a named template, raw text without one.

A prompt has the same tokens in training, in teacher-forced metrics and in generation:
`encode_row(...).input_ids[:answer_start] == row_prompt_ids(...)`. The answer's tokens are those that it has after
its prompt; the two are tokenised separately only if the tokenizer would merge them.

open-unlearning's rows differ (`code`). It tokenises prompt, answer and the chat format's text after the answer as one,
adds the end of sequence unless it is the last token, and counts as many tokens for the prompt as the prompt has alone,
even if the answer's first token has merged with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.data.prompt_templates import TEMPLATES, Template, end_of_sequence, ids, start_ids
from trainables.data.rows import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainables.batching.rows import Encoded
    from trainables.config import Compat

AUTO = "auto"


def encode_row(template: str, tokenizer: PreTrainedTokenizerBase, row: Row, code: Compat = "none") -> Encoded:
    """Prompt and answer of a row, as in that code base. A raw row has no template and no end token.

    Nothing predicts the first token of a text, so in a raw row without a prompt it counts as the prompt, unless the
    tokenizer adds a start token. Raises ValueError if a raw row has no token left to predict.
    """
    if not row.raw:
        return encode(template, tokenizer, row.question, row.answer, code)
    from trainables.batching.rows import Encoded  # imports torch

    tokens, start = _raw(tokenizer, row)
    if start >= len(tokens):
        raise ValueError(
            f"text {row.question + row.answer!r}: must have a token with another before it; leave out such a short text"
        )
    return Encoded(tokens, start)


def row_prompt_ids(template: str, tokenizer: PreTrainedTokenizerBase, row: Row) -> tuple[int, ...]:
    """The tokens from which the row's answer is generated: at least one."""
    if not row.raw:
        return prompt_ids(template, tokenizer, row.question)
    tokens, start = _raw(tokenizer, row)
    return tokens[:start]


def encode(
    template: str, tokenizer: PreTrainedTokenizerBase, question: str, answer: str, code: Compat = "none"
) -> Encoded:
    """Prompt, answer and end token of a question and its answer, as in that code base."""
    from trainables.batching.rows import Encoded  # imports torch

    chosen = find_template(template, tokenizer)
    if code == "open_unlearning":
        whole = _start(chosen, tokenizer) + ids(tokenizer, chosen.whole(tokenizer, question, answer))
        end = end_of_sequence(tokenizer)
        prompt = _prompt(chosen, tokenizer, question)
        return Encoded((*whole, *([] if whole[-1] == end else [end])), len(prompt))
    before, after = chosen.prompt(tokenizer, question), chosen.answer(tokenizer, answer)
    tokens, start = _joined(tokenizer, _start(chosen, tokenizer), before, after)
    return Encoded((*tokens, chosen.end(tokenizer)), start)


def prompt_ids(template: str, tokenizer: PreTrainedTokenizerBase, question: str) -> tuple[int, ...]:
    """The tokens from which the answer is generated."""
    return tuple(_prompt(find_template(template, tokenizer), tokenizer, question))


def end_id(template: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """The last token of rows that are not raw, which stops generation: end of sequence or the chat's end of turn."""
    return find_template(template, tokenizer).end(tokenizer)


def pick_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """`chat` if the tokenizer has a chat template, else `plain`."""
    return "chat" if tokenizer.chat_template else "plain"


def find_template(name: str, tokenizer: PreTrainedTokenizerBase) -> Template:
    """The template of that name; `auto` picks it by the tokenizer. Raises ValueError for an unknown name."""
    if name == AUTO:
        return TEMPLATES[pick_template(tokenizer)]
    if name not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise ValueError(f"template={name!r}: must be one of {known}; leave it out to let the tokenizer decide")
    return TEMPLATES[name]


def _prompt(chosen: Template, tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    return _start(chosen, tokenizer) + ids(tokenizer, chosen.prompt(tokenizer, question))


def _start(chosen: Template, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return start_ids(tokenizer) if chosen.starts else []


def _raw(tokenizer: PreTrainedTokenizerBase, row: Row) -> tuple[tuple[int, ...], int]:
    """All tokens of a raw row, and the index of the first predicted one."""
    tokens, start = _joined(tokenizer, start_ids(tokenizer), row.question, row.answer)
    return tuple(tokens), max(1, start)


def _joined(tokenizer: PreTrainedTokenizerBase, start: list[int], before: str, answer: str) -> tuple[list[int], int]:
    """The tokens of prompt and answer, and how many are the prompt's.

    They are tokenised together because a tokenizer that puts a space before every text (SentencePiece's) would
    otherwise put one into the middle of the sequence.
    """
    prompt = start + ids(tokenizer, before)
    together = start + ids(tokenizer, before + answer)
    consistent = together[: len(prompt)] == prompt
    return (together if consistent else prompt + ids(tokenizer, answer)), len(prompt)
