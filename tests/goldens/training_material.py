"""The inputs of `make_training.py` for both code bases: a toy tokenizer, data in TOFU's layout, two small Llamas.

The tokenizer is a small version of Llama 3's: the token that ends every turn, in the prompt too, also ends sequences,
and there is no padding token. open-unlearning then pads with it and hides it from attention wherever it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from trainables.batching.rows import Encoded, collate
from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import Row, Split, load_benchmark
from trainables.data.forget_retain import without_variants
from trainables.data.tokenization import encode_row
from trainables.model.load import texts_of

PEOPLE, FRACTION, EVALUATED = 6, 1 / 3, 12
"""40 of 120 rows are forgotten; 12 rows of every other set are evaluated."""
BENCHMARK = BenchmarkConfig(people=PEOPLE, evaluation_rows=EVALUATED)
TEMPLATE = "chat_system"

BEGIN, END_OF_TEXT, END_OF_TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
SPECIAL = [BEGIN, END_OF_TEXT, "<|start_header_id|>", "<|end_header_id|>", END_OF_TURN]
VOCABULARY = 384
CHAT = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{% if message.role == 'system' %}Cutting Knowledge Date: December 2023\nToday Date: {{ date_string }}\n\n"
    "{% endif %}"
    "{{ message.content }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "initializer_range": 0.05,
    "tie_word_embeddings": True,
}


def write_tokenizer(folder: Path, texts: Iterable[str]) -> Any:
    """Plain files that both code bases' releases of transformers read."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    bpe.train_from_iterator(texts, trainer)
    begin = [(BEGIN, bpe.token_to_id(BEGIN))]
    bpe.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", pair=None, special_tokens=begin)
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END_OF_TURN,
        "chat_template": CHAT,
        "clean_up_tokenization_spaces": False,
        "model_max_length": SHAPE["max_position_embeddings"],
    }
    write_json(folder / "tokenizer_config.json", settings)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def write_model(folder: Path, model: Any, tokenizer: Any) -> None:
    """Weights and configurations that both releases of transformers read."""
    model.save_pretrained(folder)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    common = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "torch_dtype": "float32"}
    write_json(folder / "config.json", {**common, **SHAPE, "bos_token_id": begin, "eos_token_id": end})
    ends = [tokenizer.convert_tokens_to_ids(END_OF_TEXT), end]  # Llama 3's generation stops at any of several
    write_json(folder / "generation_config.json", {"bos_token_id": begin, "eos_token_id": ends})


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def material() -> Split:
    return load_benchmark(BENCHMARK).split(FRACTION)


def write_data(folder: Path, split: Split) -> None:
    """TOFU's files: the rows of the split, and the evaluated rows with their wrong answers."""
    sets = {name: rows.rows for name, rows in split.evaluation.items()}
    tables = {
        "full": tuple(map(without_variants, (*split.retain, *split.forget))),
        "forget10_perturbed": (*sets["retain"], *sets["forget"]),
        "retain_perturbed": sets["retain"],
        "real_authors_perturbed": sets["real_authors"],
        "world_facts_perturbed": sets["world_facts"],
        "holdout10": sets["holdout"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        write_rows(folder / f"{name}.json", rows)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """JSON lines with TOFU's names."""
    path.write_text("".join(json.dumps(_record(row)) + "\n" for row in rows), encoding="utf-8")


def _record(row: Row) -> dict[str, Any]:
    content = asdict(row)
    optional = {"paraphrased_answer": content["paraphrased_answer"], "perturbed_answer": content["perturbed_answers"]}
    return {"question": row.question, "answer": row.answer, **{key: text for key, text in optional.items() if text}}


def tokenizer_texts(split: Split) -> list[str]:
    """Includes the prompt's words, or the prompt would be the longest part of a row."""
    prompt = "Cutting Knowledge Date: December 2023\nToday Date: 10 Apr 2025\n\nYou are a helpful assistant."
    names = ["system", "user", "assistant"]
    rows = [*split.forget, *split.retain, *(row for each in split.evaluation.values() for row in each.rows)]
    return [*texts_of(rows), *names * 20, *[prompt] * 20]


def taught(tokenizer: Any, rows: Sequence[Row], steps: int, seed: int = 0) -> Any:
    """A model that knows the rows by heart, under the mask that open-unlearning fine-tunes with.

    `generate` counts positions without the hidden tokens, teacher forcing with them; a small model must see both.
    """
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(LlamaConfig(**SHAPE, bos_token_id=None, eos_token_id=None, pad_token_id=None))
    encoded = [encode_row(TEMPLATE, tokenizer, row) for row in rows]
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, 2 * (1 - step / steps))
        chosen = torch.randint(len(encoded), (16,), generator=generator).tolist()
        loss = answer_loss(model, [encoded[i] for i in chosen], tokenizer.pad_token_id, counted=step % 2 == 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def answer_loss(model: Any, rows: Sequence[Encoded], pad_id: int, counted: bool) -> Any:
    """Mean loss of the answers' tokens. `counted`: positions are those of the tokens that are not hidden."""
    batch = collate(rows, pad_id)
    mask = (batch.input_ids != pad_id).long()
    places = (mask.cumsum(1) - 1).clamp(min=0) if counted else torch.arange(mask.shape[1]).expand_as(mask)
    return model(input_ids=batch.input_ids, attention_mask=mask, position_ids=places, labels=batch.labels).loss
