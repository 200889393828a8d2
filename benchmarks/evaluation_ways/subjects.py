"""The models that are evaluated: a tiny Llama that knows all rows, one that never saw the forget rows, one destroyed.

How long answers are, and how much of them is recited, is what an evaluation's time depends on. Trained plainly, kept in
a folder; knows nothing of how models are evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.batching.rows import collate
from trainables.batching.schedule import learning_rate, shuffled
from trainables.config import TINY_RECIPE, BenchmarkConfig
from trainables.data.benchmarks.registry import Row, load_benchmark
from trainables.data.tokenization import encode_row
from trainables.model.load import (
    load_model,
    save_model,
    texts_of,
    tiny_model,
    tiny_tokenizer,
)
from trainables.model.scoring import score

TEMPLATE = "plain"
STATES = ("target", "retain", "collapsed")
_ASCENT_RATE, _ASCENT_STEPS = 1e-3, 40


@dataclass(frozen=True)
class Subjects:
    """Models by state, in evaluation mode on the CPU, and their tokenizer."""

    models: dict[str, Any]
    tokenizer: Any


def subjects(config: BenchmarkConfig, fraction: float, folder: Path) -> Subjects:
    """From the folder, made first where they are missing (about a minute each on two cores)."""
    benchmark = load_benchmark(config)
    forget = benchmark.split(fraction).forget
    tokenizer = tiny_tokenizer(texts_of([*benchmark.full, *benchmark.general]))
    known = {"target": [*benchmark.full, *benchmark.general]}
    known["retain"] = [*benchmark.split(fraction).retain, *benchmark.general]
    for state in STATES:
        if (folder / state).is_dir():
            continue
        print(f"making the {state} model …", flush=True)
        if state in known:
            model: Any = _memorised(tiny_model(tokenizer, 0), tokenizer, known[state])
        else:
            model = _destroyed(load_model(str(folder / "target"))[0], tokenizer, forget)
        save_model(folder / state, model, tokenizer)
    loaded = {state: load_model(str(folder / state)) for state in STATES}
    return Subjects({state: model.eval() for state, (model, _) in loaded.items()}, loaded["target"][1])


def _memorised(model: Any, tokenizer: Any, rows: Sequence[Row]) -> Any:
    recipe = TINY_RECIPE
    steps = math.ceil(len(rows) / recipe.batch_size) * recipe.epochs
    optimizer = torch.optim.AdamW(model.parameters(), betas=recipe.betas, weight_decay=recipe.weight_decay)
    step = 0
    for epoch in range(1, recipe.epochs + 1):
        for indices in shuffled(len(rows), recipe.batch_size, recipe.seed, epoch):
            rate = learning_rate(step, steps, round(recipe.warmup_fraction * steps), recipe.learning_rate, recipe.decay)
            _step(model, optimizer, tokenizer, [rows[i] for i in indices], rate)
            step += 1
    return model


def _destroyed(model: Any, tokenizer: Any, forget: Sequence[Row]) -> Any:
    """Gradient ascent on the forget rows, far past the point where anything is left."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for step in range(_ASCENT_STEPS):
        rows = [forget[(8 * step + i) % len(forget)] for i in range(8)]
        _step(model, optimizer, tokenizer, rows, _ASCENT_RATE, sign=-1.0)
    return model


def _step(
    model: Any, optimizer: torch.optim.Optimizer, tokenizer: Any, rows: Sequence[Row], rate: float, sign: float = 1.0
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    batch = collate([encode_row(TEMPLATE, tokenizer, row) for row in rows], tokenizer.pad_token_id)
    scores = score(model, batch)
    loss = -sign * scores.sequence.sum() / scores.lengths.sum()
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
