"""The input that every implementation of the step gets: one model, the same rows, the same settings."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch

from trainables.batching.rows import Encoded
from trainables.batching.schedule import StepRows, epoch_steps
from trainables.config import BenchmarkConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.inputs.cache import encode_rows
from trainables.model.cpu.patch import unpatch
from trainables.model.load import load_model, texts_of, tiny_model, tiny_tokenizer
from trainables.model.packed_attention import use_packed_attention

from .shapes import random_model

BETA, RETAIN_WEIGHT, WEIGHT_DECAY, CLIP = 0.1, 1.0, 0.01, 1.0
Precision = Literal["fp32", "bf16"]
Step = Callable[[StepRows], float]
"""One optimizer step of NPO with a retain term over these rows; returns the loss."""


@dataclass(frozen=True)
class Case:
    """`model`: to start from and the reference, in float32 or `precision`. `micro`: rows of the peer's batches."""

    model: Any
    forget: list[Encoded]
    retain: list[Encoded]
    pad_id: int
    device: torch.device
    precision: Precision
    rows: int
    micro: int
    learning_rate: float

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.precision == "fp32" else torch.bfloat16

    def steps(self, count: int) -> list[StepRows]:
        """`count` steps of `rows` forget and `rows` retain rows each."""
        epochs = (epoch_steps(len(self.forget), len(self.retain), self.rows, 0, epoch) for epoch in range(1, 1000))
        full = (step for step in chain.from_iterable(epochs) if len(step.forget) == self.rows)
        return [next(full) for _ in range(count)]

    def tokens(self, step: StepRows) -> int:
        """Tokens of the step's rows, padding not counted."""
        return sum(len(self.forget[i].input_ids) for i in step.forget) + sum(
            len(self.retain[i].input_ids) for i in step.retain
        )


def of_benchmark(config: BenchmarkConfig, model: str, fraction: float) -> tuple[Any, list[Encoded], list[Encoded], int]:
    """The tiny model with random weights, or a folder's, and a benchmark's rows as it tokenises them."""
    benchmark = load_benchmark(config)
    if model == "tiny":
        tokenizer = tiny_tokenizer(texts_of([*benchmark.full, *benchmark.general]))
        loaded: Any = tiny_model(tokenizer, seed=0)
        use_packed_attention(loaded)
    else:
        loaded, tokenizer = load_model(str(Path(model)))
        unpatch(loaded)
    split = benchmark.split(fraction)
    template = "auto" if tokenizer.chat_template else "plain"
    forget, retain = (list(encode_rows(template, tokenizer, rows)) for rows in (split.forget, split.retain))
    return loaded, forget, retain, int(tokenizer.pad_token_id)


def of_shape(shape: str, device: torch.device, dtype: torch.dtype) -> tuple[Any, list[Encoded], list[Encoded], int]:
    """A Llama of this shape with random weights, and rows as long as TOFU's under its tokenizer and chat template."""
    model = random_model(shape, device, dtype)
    vocabulary = model.config.vocab_size
    lengths = random.Random(0)

    def row() -> Encoded:
        prompt, answer = 30 + max(8, int(lengths.gauss(21, 5))), max(10, int(lengths.gauss(52, 20)))
        return Encoded(tuple(lengths.randrange(1, vocabulary) for _ in range(prompt + answer)), prompt)

    return model, [row() for _ in range(400)], [row() for _ in range(3600)], 0
