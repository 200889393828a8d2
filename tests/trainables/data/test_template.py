"""Templates, on real tokenizers trained here: prompts are prefixes, answers end, start tokens follow the tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from trainables.config import BenchmarkConfig
from trainables.data import load_benchmark
from trainables.data.template import encode, end_id, pick_template, prompt_ids

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA_LIKE = (
    "{{ bos_token }}{% for m in messages %}{{ '<turn>' + m.role + '\\n' + m.content + '</turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn>model\\n' }}{% endif %}"
)
DATED = (
    "{{ bos_token }}{% if not date_string is defined %}{{ strftime_now('%d %b %Y %H:%M:%S') }}{% else %}"
    "{{ date_string }}{% endif %}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
)
MARKS = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<turn>", "</turn>"]
texts = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), max_size=40)


def make(
    bos: bool = False, adds_bos: bool = False, eos: str = "</s>", chat: str | None = None
) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    rows = load_benchmark(BenchmarkConfig(people=2)).full
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=MARKS, initial_alphabet=alphabet)
    core.train_from_iterator((f"Question: {row.question}\nAnswer: {row.answer}" for row in rows), trainer)
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    marks = {"bos_token": "<s>"} if bos or adds_bos else {}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=eos, pad_token="<pad>", **marks)  # type: ignore[no-untyped-call]
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS[3:]})
    tokenizer.chat_template = chat
    return tokenizer


TOKENIZERS = {
    "plain": make(),
    "plain, bos defined only": make(bos=True),
    "plain, bos added": make(adds_bos=True),
    "chat": make(eos="<|im_end|>", chat=CHATML),
    "chat, own end of turn": make(adds_bos=True, chat=GEMMA_LIKE),
}


@pytest.mark.parametrize("name", TOKENIZERS)
@given(question=texts, answer=texts)
@settings(max_examples=30, deadline=None)
def test_the_prompt_is_the_beginning_and_the_end_token_comes_last(name: str, question: str, answer: str) -> None:
    tokenizer, template = TOKENIZERS[name], name.partition(",")[0]
    encoded = encode(template, tokenizer, question, answer)
    prompt = prompt_ids(template, tokenizer, question)
    assert encoded.input_ids[: encoded.answer_start] == prompt
    assert encoded.input_ids[-1] == end_id(template, tokenizer)
    assert encoded.input_ids.count(1) == (1 if name in ("plain, bos added", "chat, own end of turn") else 0)
    spoken = tokenizer.decode(list(encoded.input_ids[encoded.answer_start : -1]), clean_up_tokenization_spaces=False)
    assert spoken == (f" {answer}" if template == "plain" else answer)


def test_plain_text() -> None:
    encoded = encode("plain", TOKENIZERS["plain, bos added"], "Who?", "Ann.")
    text = TOKENIZERS["plain"].decode(list(encoded.input_ids))
    assert text == "<s>Question: Who?\nAnswer: Ann.</s>"


def test_chat_text_is_the_template_s_own_up_to_the_end_of_turn() -> None:
    encoded = encode("chat", TOKENIZERS["chat"], "Who?", "Ann.")
    text = TOKENIZERS["chat"].decode(list(encoded.input_ids))
    assert text == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nAnn.<|im_end|>"


def test_an_end_of_turn_that_is_not_the_end_of_sequence_is_found() -> None:
    tokenizer = TOKENIZERS["chat, own end of turn"]
    assert tokenizer.convert_ids_to_tokens(end_id("chat", tokenizer)) == "</turn>"
    assert end_id("plain", tokenizer) == tokenizer.eos_token_id
    silent = make(chat="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    assert end_id("chat", silent) == silent.eos_token_id


def test_the_date_of_today_is_never_in_a_prompt() -> None:
    tokenizer = make(bos=True, eos="<|im_end|>", chat=DATED)
    assert "10 Apr 2025" in tokenizer.decode(list(prompt_ids("chat", tokenizer, "Who?")))


def test_the_template_follows_the_tokenizer() -> None:
    assert pick_template(TOKENIZERS["plain"]) == "plain"
    assert pick_template(TOKENIZERS["chat"]) == "chat"


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(ValueError, match=r"template='llama': must be one of plain, chat, .*llama3"):
        encode("llama", TOKENIZERS["plain"], "q", "a")
    with pytest.raises(ValueError, match="no chat template; use template: plain"):
        prompt_ids("chat", TOKENIZERS["plain"], "q")
    endless = make()
    endless.eos_token = None
    with pytest.raises(ValueError, match="eos_token=null"):
        encode("plain", endless, "q", "a")


def test_auto_is_what_the_tokenizer_would_pick() -> None:
    for name, tokenizer in TOKENIZERS.items():
        assert encode("auto", tokenizer, "Who?", "Me.") == encode(name.partition(",")[0], tokenizer, "Who?", "Me.")
