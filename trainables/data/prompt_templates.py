"""The prompt templates by name: the text around a question, the text of the answer, the token that ends it.

`plain` suits any model. `chat` and `chat_system` are the tokenizer's own chat template. The others are formats of model
families, for tokenizers that have no chat template or another one. Texts only: `tokenization` joins prompt and answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TODAY = "10 Apr 2025"
"""A fixed date (open-unlearning's) for chat templates that print one: the tokens must not change from day to day."""

SYSTEM = "You are a helpful assistant."
"""open-unlearning's system prompt."""


@dataclass(frozen=True)
class Template:
    """One prompt format.

    `prompt`: the text up to the answer. `answer`: the text of the answer, with any text before it. `end`: the id of the
    token that closes it. `whole`: all text of a question and its answer, including what the chat format puts after an
    answer, which open-unlearning trains on too. `starts`: whether the prompt begins with the start token, if the
    tokenizer adds one.
    """

    prompt: Callable[[PreTrainedTokenizerBase, str], str]
    answer: Callable[[PreTrainedTokenizerBase, str], str]
    end: Callable[[PreTrainedTokenizerBase], int]
    whole: Callable[[PreTrainedTokenizerBase, str, str], str]
    starts: bool = True


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text, without special tokens."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def start_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The start token if the tokenizer begins texts with it (having one is not enough), else nothing."""
    start = tokenizer.bos_token_id
    begins = start is not None and list(tokenizer("a")["input_ids"])[:1] == [start]
    return [start] if begins else []


def end_of_sequence(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the end-of-sequence token. Raises ValueError if the tokenizer has none."""
    end = tokenizer.eos_token_id
    if not isinstance(end, int):
        raise ValueError("eos_token=null: the tokenizer must have one, or answers would never end; set eos_token")
    return end


def _render(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], prompt: bool) -> str:
    """The text of the chat template, start token included. Reasoning is off if the template has the switch."""
    if not tokenizer.chat_template:
        raise ValueError("template='chat': the tokenizer has no chat template; use template: plain")
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=prompt, date_string=TODAY, enable_thinking=False
    )
    return str(text)


def _chat(system: str | None) -> Template:
    """The tokenizer's own chat template, with a system prompt or without."""
    before = [] if system is None else [{"role": "system", "content": system}]

    def prompt(tokenizer: PreTrainedTokenizerBase, question: str) -> str:
        return _render(tokenizer, [*before, {"role": "user", "content": question}], prompt=True)

    def around(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
        """The text that the chat template puts before and after an answer."""
        head, _, tail = whole(tokenizer, "question", "answer").rpartition("answer")
        asked = prompt(tokenizer, "question")
        lead = head[len(asked) :] if head.startswith(asked) else ""
        return ("" if lead.strip() else lead), tail

    def end(tokenizer: PreTrainedTokenizerBase) -> int:
        """The special token after an answer, or the end of sequence if the template has none.

        Usually the two are the same. Gemma and Phi end a turn with another token, and models trained that way never
        write the end of sequence.
        """
        first = ids(tokenizer, around(tokenizer)[1].strip())[:1]
        special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        return first[0] if first and first[0] in special else end_of_sequence(tokenizer)

    def whole(tokenizer: PreTrainedTokenizerBase, question: str, answer: str) -> str:
        """The whole chat; some templates strip the spaces around an answer."""
        turns = [*before, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return _render(tokenizer, turns, prompt=False)

    return Template(prompt, lambda tokenizer, answer: around(tokenizer)[0] + answer, end, whole, starts=False)


def _marked(name: str, before: str, after: str, end: str, behind: str = "") -> Template:
    """A chat format whose turns end in the special token `end` and the text `behind`; it writes its own start token."""

    def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
        found = ids(tokenizer, end)
        if len(found) != 1:
            raise ValueError(
                f"template={name!r}: the tokenizer must have the token {end!r}; use template: chat or plain"
            )
        return found[0]

    def prompt(tokenizer: PreTrainedTokenizerBase, question: str) -> str:
        end_of_turn(tokenizer)
        return f"{before}{question}{after}"

    def whole(tokenizer: PreTrainedTokenizerBase, question: str, answer: str) -> str:
        return f"{prompt(tokenizer, question)}{answer}{end}{behind}"

    return Template(prompt, lambda tokenizer, answer: answer, end_of_turn, whole, starts=False)


def _chatml(name: str, system: str) -> Template:
    return _marked(
        name,
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
        behind="\n",
    )


def _written(before: str, after: str, lead: str = "") -> Template:
    """Plain text around the question; `lead`, before the answer, is part of the labels."""
    return Template(
        lambda tokenizer, question: f"{before}{question}{after}",
        lambda tokenizer, answer: f"{lead}{answer}",
        end_of_sequence,
        lambda tokenizer, question, answer: f"{before}{question}{after}{lead}{answer}",
    )


TEMPLATES: dict[str, Template] = {
    "plain": _written("Question: ", "\nAnswer:", lead=" "),
    "chat": _chat(None),
    "chat_system": _chat(SYSTEM),
    # TOFU's, NPO's and open-unlearning's code: no space after the tag.
    "llama2": _written("[INST] ", " [/INST]"),
    # TOFU's and NPO's code: "Answer: " is part of the labels.
    "phi": _written("Question: ", "\n", lead="Answer: "),
    # open-unlearning's code, for Phi-1.5 and Llama 2 without chat: "Answer: " is part of the prompt.
    "phi_open_unlearning": _written("Question: ", "\nAnswer: "),
    "phi3": _marked("phi3", "<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>", behind="\n<|endoftext|>"),
    # Llama 3.1 and later, with open-unlearning's system prompt and date.
    "llama3": _marked(
        "llama3",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        f"Today Date: {TODAY}\n\n{SYSTEM}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    "qwen2": _chatml("qwen2", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    "smollm2": _chatml("smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
    "gemma": _marked(
        "gemma",
        "<bos><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
        "<end_of_turn>",
        behind="\n",
    ),
}
