"""Alternative answers that the target model makes up itself (AltPO, arXiv 2409.13474), made once and kept in a file.

A model with a chat template is shown question and answer and asked for another one, as the paper does. A model without
cannot follow instructions: it is asked the question again. What repeats the answer that must go is drawn anew, hotter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainables.config import Frozen, TrialConfig
from trainables.data.benchmarks.registry import Row
from trainables.data.splitting import digest_rows
from trainables.data.tokenization import end_id, row_prompt_ids
from trainables.evaluation.decoding.sampling import sample, uniforms
from trainables.evaluation.metrics.rouge import rouge_l_recall
from trainables.inputs.alternatives import PER_ROW
from trainables.inputs.cache import WorkerCache
from trainables.inputs.reference_log_probs import token_batches
from trainables.storage.manifest import write_json

CODE_VERSION = 1
"""Raise it whenever the same model would be asked otherwise than before."""

TEMPERATURES = (1.0, 1.5, 2.0, 3.0)
REPEATS = 0.8
"""ROUGE-L recall of the true answer from which on a sample is that answer again."""

ASK = (
    "Here is a question with its answer.\nQuestion: {question}\nAnswer: {answer}\n"
    "Give another answer to the same question: as plausible, of the same form, with other facts. Only the answer."
)


class GeneratedKey(Frozen):
    """Everything the answers depend on; its digest names the file."""

    model: str
    rows: str
    template: str
    dtype: str
    max_new_tokens: int
    code_version: int = CODE_VERSION


def generated_answers(config: TrialConfig, resident: WorkerCache, rows: Sequence[Row], device: str) -> list[list[str]]:
    """`PER_ROW` answers a row. The same for all trials: it does not depend on their seeds."""
    key = GeneratedKey(
        model=config.target_digest,
        rows=digest_rows([rows]),
        template=config.template,
        dtype=config.workers.precision,
        max_new_tokens=config.evaluation.max_new_tokens,
    )
    file = Path(config.reference_cache) / f"alternatives-{key.digest()}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"key": key.model_dump(mode="json"), "answers": _make(config, resident, rows, device)})
    answers: list[list[str]] = json.loads(file.read_text())["answers"]
    return answers


def _make(config: TrialConfig, resident: WorkerCache, rows: Sequence[Row], device: str) -> list[list[str]]:
    answers: list[list[str]] = [[] for _ in rows]
    for attempt, temperature in enumerate(TEMPERATURES):
        open_rows = [i for i, found in enumerate(answers) if len(found) < PER_ROW]
        last = attempt == len(TEMPERATURES) - 1
        for i, samples in _sampled(config, resident, {i: rows[i] for i in open_rows}, temperature, attempt, device):
            new = [text for text in samples if last or (text and rouge_l_recall(rows[i].answer, text) < REPEATS)]
            answers[i] = [*answers[i], *new][:PER_ROW]
    return answers


def _sampled(
    config: TrialConfig, resident: WorkerCache, rows: dict[int, Row], temperature: float, attempt: int, device: str
) -> list[tuple[int, list[str]]]:
    """(row, texts) of every row; what is drawn for a row depends on nothing but the row and the attempt."""
    tokenizer = resident.model(config.target).tokenizer
    model = resident.frozen_model(config.target, config.workers.precision, device)
    end, tokens = end_id(config.template, tokenizer), config.evaluation.max_new_tokens
    prompts = {i: row_prompt_ids(config.template, tokenizer, _asked(row, tokenizer)) for i, row in rows.items()}
    numbers = list(prompts)
    found: list[tuple[int, list[str]]] = []
    budget = config.evaluation.batch_tokens // PER_ROW
    for batch in token_batches([len(prompts[i]) + tokens for i in numbers], budget):
        chosen = [numbers[position] for position in batch]
        draws = np.stack([uniforms(attempt, i, PER_ROW, tokens) for i in chosen])
        sampled = sample(model, [prompts[i] for i in chosen], draws, temperature, end, device=device)
        for i, of_row in zip(chosen, sampled, strict=True):
            found.append((i, [str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip() for ids in of_row]))
    return found


def _asked(row: Row, tokenizer: Any) -> Row:
    if row.raw or not tokenizer.chat_template:
        return row
    return replace(row, question=ASK.format(question=row.question, answer=row.answer))
