"""A model and a split that are small, and real: a Llama that has half memorised a made-up benchmark."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from tests import tiny
from trainables.batching.rows import collate
from trainables.config import BenchmarkConfig, EvaluationConfig
from trainables.data.benchmarks.registry import Row, Split, load_benchmark
from trainables.data.tokenization import encode
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics.details import SetDetails
from trainables.evaluation.metrics.record import Evaluation
from trainables.model.load import tiny_tokenizer
from trainables.runtime.ranks import Group

TEMPLATE = "plain"
SETTINGS = EvaluationConfig(max_new_tokens=24, batch_tokens=512)
ALL_SETTINGS = SETTINGS.model_copy(update={"gradient_norm": True})


@cache
def small_split() -> Split:
    return load_benchmark(BenchmarkConfig(people=4, evaluation_rows=6)).split(0.25)


@cache
def small_tokenizer() -> PreTrainedTokenizerFast:
    rows: list[Row] = [row for rows in small_split().evaluation.values() for row in rows.rows]
    tokenizer: PreTrainedTokenizerFast = tiny_tokenizer(text for row in rows for text in (row.question, row.answer))
    return tokenizer


def fresh_model(seed: int = 0) -> LlamaForCausalLM:
    shape = {"vocab_size": len(small_tokenizer()), "hidden_size": 48, "intermediate_size": 96, "head_dim": 12}
    ends = {"bos_token_id": None, "eos_token_id": small_tokenizer().eos_token_id}
    ends["pad_token_id"] = small_tokenizer().pad_token_id
    torch.manual_seed(seed)
    weights = {"initializer_range": 0.08, "tie_word_embeddings": True}
    model = LlamaForCausalLM(LlamaConfig(**tiny.SHAPE | shape | ends | weights))
    model.train(False)
    return model


@cache
def small_model() -> LlamaForCausalLM:
    """Trained until some answers are known by heart and others are not; never changed."""
    split = small_split()
    known = [*split.evaluation["forget"].rows[:8], *split.evaluation["retain"].rows[:4]]
    known += [*split.evaluation["real_authors"].rows[:3], *split.evaluation["world_facts"].rows[:3]]
    rows = [encode(TEMPLATE, small_tokenizer(), row.question, row.answer) for row in known]
    batch = collate(rows, small_tokenizer().pad_token_id)
    model = fresh_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(input_ids=batch.input_ids, labels=batch.labels).loss.backward()
        optimizer.step()
    return model


def examine(model: LlamaForCausalLM, settings: EvaluationConfig = SETTINGS, group: Group | None = None) -> Evaluation:
    return evaluate(model, small_tokenizer(), TEMPLATE, small_split(), settings, group or Group())


def assert_same(first: Evaluation, second: Evaluation, tolerance: float = 1e-5) -> None:
    """Equal texts, and numbers equal up to float32 rounding; how long it took is left out."""
    assert first.samples == second.samples
    assert first.metrics.keys() == second.metrics.keys()
    numbers = [(first.metrics[key], second.metrics[key]) for key in first.metrics if key != "eval_seconds"]
    assert first.details.keys() == second.details.keys()
    for name in first.details:
        numbers += zip(*(numbers_of(found.details[name]) for found in (first, second)), strict=True)
    assert all(math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) for a, b in numbers)


def numbers_of(of_set: Any) -> list[float]:
    """All numbers in a set's details, in a fixed order."""
    if isinstance(of_set, SetDetails):
        return numbers_of(vars(of_set))
    if isinstance(of_set, dict):
        return [number for key in sorted(of_set) for number in numbers_of(of_set[key])]
    if isinstance(of_set, list | tuple):
        return [number for value in of_set for number in numbers_of(value)]
    return [float(of_set)] if isinstance(of_set, int | float) else []


class CountedCalls(torch.nn.Module):
    """A model that counts its forward passes and those that decode a token, and notes the rows (without padding and
    end) that are read as prompts of several answers, and as answers after the last token of their prompt.
    """

    def __init__(self, model: LlamaForCausalLM) -> None:
        super().__init__()
        self.model = model
        self.calls = self.decoded = 0
        self.prompts: list[tuple[int, ...]] = []
        self.scored: list[tuple[int, ...]] = []
        self.modes: set[bool] = set()

    def forward(self, **inputs: Any) -> Any:
        self.calls += 1
        self.modes.add(self.model.training)
        closing = {small_tokenizer().pad_token_id, small_tokenizer().eos_token_id}
        rows = [tuple(token for token in ids if token not in closing) for ids in inputs["input_ids"].tolist()]
        if inputs.get("past_key_values") is None:
            self.prompts += rows if "attention_mask" not in inputs else []
        elif inputs["input_ids"].shape[1] == 1:
            self.decoded += 1
        else:
            self.scored += rows
        return self.model(**inputs)


def windowed_model(vocabulary: int) -> MistralForCausalLM:
    """Whose layers see eight tokens back."""
    torch.manual_seed(0)
    shape = {"vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 64, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": 8, "initializer_range": 0.3}
    model = MistralForCausalLM(MistralConfig(**tiny.SHAPE | shape | heads))
    model.train(False)
    return model
