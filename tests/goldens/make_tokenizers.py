"""Makes the goldens' toy tokenizers: small vocabularies, each with the habits of one family of models.

    python -m tests.goldens.make_tokenizers --out tests/goldens/tokenizers

Families differ in their special tokens, which of those begin, end and pad texts, the chat template, and how spaces and
digits are split. Made with tokenizers 0.20, whose files newer releases read too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.goldens.made_up import made_up_sets, texts

_MERGES = 200
_META = "\u2581"  # SentencePiece's sign for a space

# The words of templates, so that they are not tokenised letter by letter.
_AROUND = (
    "Question: ",
    "Answer: ",
    "[INST] Who is it? [/INST]",
    "system\n",
    "user\n",
    "assistant\n",
    "model\n",
    "You are a helpful assistant.",
    "Cutting Knowledge Date: December 2023\nToday Date: 10 Apr 2025\n\n",
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
)
_TIMES = 24

_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_WORDS = _LLAMA3_WORDS.replace("{1,3}", "")

_LLAMA3_CHAT = (
    "{{ bos_token }}{% if date_string is not defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"
    "{% if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set said = '' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: '"
    " + date_string + '\\n\\n' + said + '<|eot_id|>' }}"
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim"
    " + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
_PHI35_CHAT = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)
_GEMMA_CHAT = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n'"
    " + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)


def _chatml(system: str) -> str:
    """ChatML with a default system prompt."""
    return (
        "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
        "{{ '<|im_start|>system\\n" + system + "<|im_end|>\\n' }}{% endif %}"
        "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


@dataclass(frozen=True)
class Family:
    """One toy tokenizer.

    `cut`: how texts become words ("llama2", "gemma": SentencePiece's; else byte-level). `specials`: in the order of
    their ids. `marks`: which of them is `eos_token`, and so on. `strips`: special tokens that swallow white space after
    them. `begins`: whether texts begin with `bos_token`. `cleans`: whether decoding joins punctuation to words.
    """

    cut: str
    specials: Sequence[str]
    marks: Mapping[str, str]
    chat: str | None = None
    begins: bool = False
    strips: Sequence[str] = ()
    cleans: bool = False


_LLAMA3_SPECIALS = ("begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eom_id", "eot_id")
_PHI3_TURNS = ("<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
_SMOLLM2_MARKS = ("bos_token", "eos_token", "pad_token", "unk_token")
FAMILIES: Mapping[str, Family] = {
    "llama2": Family(
        "llama2",
        ("<unk>", "<s>", "</s>"),
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        begins=True,
    ),
    "llama3": Family(
        "llama3",
        tuple(f"<|{each}|>" for each in _LLAMA3_SPECIALS),
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        _LLAMA3_CHAT,
        begins=True,
        cleans=True,
    ),
    "phi15": Family(
        "gpt2",
        ("<|endoftext|>",),
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
        cleans=True,
    ),
    "phi35": Family(
        "llama2",
        ("<unk>", "<s>", "</s>", "<|endoftext|>", *_PHI3_TURNS),
        {"bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<unk>"},
        _PHI35_CHAT,
        strips=_PHI3_TURNS,
    ),
    "qwen25": Family(
        "qwen",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        _chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    ),
    "gemma": Family(
        "gemma",
        ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"},
        _GEMMA_CHAT,
        begins=True,
    ),
    "smollm2": Family(
        "smollm2",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        dict(zip(_SMOLLM2_MARKS, ("<|im_start|>", "<|im_end|>", "<|im_end|>", "<|endoftext|>"), strict=True)),
        _chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
    ),
}


def make(family: Family) -> Tokenizer:
    """Trained on the made-up rows."""
    corpus = [*_AROUND * _TIMES, *texts(made_up_sets())]
    like_sentences = family.cut in ("llama2", "gemma")
    made = _like_sentence_piece(family, corpus) if like_sentences else _byte_level(family, corpus)
    made.add_special_tokens([AddedToken(each, rstrip=each in family.strips, special=True) for each in family.specials])
    bos = family.marks.get("bos_token", "")
    if family.begins:
        pair = [f"{bos}:0", "$A:0", f"{bos}:1", "$B:1"]
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=" ".join(pair), special_tokens=[(bos, made.token_to_id(bos))]
        )
    return made


def _byte_level(family: Family, corpus: Sequence[str]) -> Tokenizer:
    made = Tokenizer(models.BPE(ignore_merges=family.cut == "llama3"))
    cuts: dict[str, list[Any]] = {
        "gpt2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "smollm2": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "llama3": [_split(_LLAMA3_WORDS), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)],
        "qwen": [_split(_QWEN_WORDS), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)],
    }
    if family.cut == "qwen":
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(cuts[family.cut])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    size = len(family.specials) + len(alphabet) + _MERGES
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(family.specials), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(corpus, trainer)
    return made


def _split(words: str) -> pre_tokenizers.Split:
    return pre_tokenizers.Split(Regex(words), behavior="isolated")


def _like_sentence_piece(family: Family, corpus: Sequence[str]) -> Tokenizer:
    """Spaces are part of words and unknown letters become bytes; Llama 2 puts a space before every text, Gemma does
    not. No token crosses the end of a word.
    """
    lead = [normalizers.Prepend(_META)] if family.cut == "llama2" else []
    as_one_word = normalizers.Sequence([*lead, normalizers.Replace(" ", _META)])
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.normalizer = as_one_word
    learner.pre_tokenizer = pre_tokenizers.Split(_META, behavior="merged_with_next")
    in_bytes = [f"<0x{i:02X}>" for i in range(256)]
    breaks = ["\n"] if family.cut == "gemma" else []  # a byte for Llama 2
    trainer = trainers.BpeTrainer(
        vocab_size=len(family.specials) + 256 + _MERGES + 70,
        special_tokens=[*family.specials, *in_bytes, *breaks],
        limit_alphabet=70,  # rarer letters are written as bytes
        show_progress=False,
    )
    learner.train_from_iterator(corpus, trainer)
    learnt = json.loads(learner.to_str())["model"]
    merges = [tuple(merge if isinstance(merge, list) else merge.split(" ")) for merge in learnt["merges"]]
    made = Tokenizer(
        models.BPE(vocab=learnt["vocab"], merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = as_one_word
    if family.cut == "gemma":
        made.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    ends = [decoders.Strip(content=" ", left=1, right=0)] if family.cut == "llama2" else []
    made.decoder = decoders.Sequence([decoders.Replace(_META, " "), decoders.ByteFallback(), decoders.Fuse(), *ends])
    return made


def write(family: Family, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    core = json.loads(make(family).to_str())
    core["model"]["merges"] = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in core["model"]["merges"]
    ]
    (folder / "tokenizer.json").write_text(json.dumps(core, ensure_ascii=False, separators=(",", ":")) + "\n")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": family.cleans,
        "model_max_length": 2048,
        **family.marks,
        **({"chat_template": family.chat} if family.chat else {}),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    for name, family in FAMILIES.items():
        write(family, out / name)


if __name__ == "__main__":
    main()
