"""The prompt templates by name: the text around a question, the text of the answer, the token that ends it.

`plain` suits any model; `chat` and `chat_system` are the tokenizer's own chat template; the others are the formats of
families of models, written out, for tokenizers without a chat template or with another. Texts only: how prompt and
answer are put together is in `template`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TODAY = "10 Apr 2025"
"""Chat templates that print the date would otherwise give other tokens every day. The date is open-unlearning's."""

SYSTEM = "You are a helpful assistant."
"""open-unlearning's system prompt."""


@dataclass(frozen=True)
class Template:
    """`prompt`: text up to the answer. `answer`: the text of the answer, with what belongs before it. `end`: the token
    id that closes it. `whole`: all text of a question and its answer, with what the chat format has behind an answer:
    open-unlearning has a model learn that too. `starts`: whether the tokenizer's start token is put before the prompt
    (where it has the habit).
    """

    prompt: Callable[[PreTrainedTokenizerBase, str], str]
    answer: Callable[[PreTrainedTokenizerBase, str], str]
    end: Callable[[PreTrainedTokenizerBase], int]
    whole: Callable[[PreTrainedTokenizerBase, str, str], str]
    starts: bool = True


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text, without any that the tokenizer would add."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def start_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The start token exactly if the tokenizer itself begins texts with it; having one is not enough."""
    start = tokenizer.bos_token_id
    begins = start is not None and list(tokenizer("a")["input_ids"])[:1] == [start]
    return [start] if begins else []


def end_of_sequence(tokenizer: PreTrainedTokenizerBase) -> int:
    """Raises ValueError if the tokenizer has none."""
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


def _chat(system: str | None) -> Template:
    """The tokenizer's own chat template, with a system prompt or without."""
    before = [] if system is None else [{"role": "system", "content": system}]

    def prompt(tokenizer: PreTrainedTokenizerBase, question: str) -> str:
        return _render(tokenizer, [*before, {"role": "user", "content": question}], prompt=True)

    def around(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
        """What the chat template puts before and after an answer."""
        head, _, tail = whole(tokenizer, "question", "answer").rpartition("answer")
        asked = prompt(tokenizer, "question")
        lead = head[len(asked) :] if head.startswith(asked) else ""
        return ("" if lead.strip() else lead), tail

    def end(tokenizer: PreTrainedTokenizerBase) -> int:
        """The special token after an answer; end of sequence if there is none.

        Usually they are one. Gemma and Phi end a turn with a token of its own; models trained so never end with the
        other.
        """
        first = ids(tokenizer, around(tokenizer)[1].strip())[:1]
        special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        return first[0] if first and first[0] in special else end_of_sequence(tokenizer)

    def whole(tokenizer: PreTrainedTokenizerBase, question: str, answer: str) -> str:
        """Some chat templates take the spaces around an answer off."""
        turns = [*before, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return _render(tokenizer, turns, prompt=False)

    return Template(prompt, lambda tokenizer, answer: around(tokenizer)[0] + answer, end, whole, starts=False)


def _marked(name: str, before: str, after: str, end: str, behind: str = "") -> Template:
    """A chat format whose turns are closed by the special token `end`, and `behind` it. It brings its own start token,
    if any.
    """

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
    """Plain characters around the question; `lead`, before the answer, is among the labels."""
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
    # TOFU's and NPO's code: "Answer: " is learned too.
    "phi": _written("Question: ", "\n", lead="Answer: "),
    # open-unlearning's code, for Phi-1.5 and Llama 2 without chat: "Answer: " is asked.
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
