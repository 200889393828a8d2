"""Evaluates a model on a split: the details of every set, from one teacher-forced pass and one of generation.

Knows sets and which questions to put; the passes are in `reading` and `answering`, what follows from the details in
`summary`. Loads torch when it is called.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from trainables.config import EvaluationConfig
from trainables.data.rows import EvalSet, Split
from trainables.evaluation.asked import Asked
from trainables.evaluation.details import Details
from trainables.evaluation.record import Evaluation
from trainables.evaluation.summary import summarise
from trainables.group import Group

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_SAMPLED_SETS = ("forget", "retain")
_SAMPLES = 4


def evaluate(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    split: Split,
    settings: EvaluationConfig,
    group: Group,
) -> Evaluation:
    """Evaluate `model` on all sets of `split`; all ranks of `group` call it together and get the same result.

    Every (question, answer) is scored once whatever it is used for. NaN weights give NaN metrics. The model is put in
    evaluation mode for the time. Raises ValueError for a set that is empty, or whose rows differ in the number of
    wrong answers; and for tasks of the lm-evaluation-harness where it is not installed.
    """
    from trainables.evaluation.answering import answers
    from trainables.evaluation.examinee import Examinee
    from trainables.evaluation.gradient_norms import gradient_norms
    from trainables.evaluation.harness import harness_metrics
    from trainables.evaluation.reading import read_answers

    start = time.perf_counter()
    sets = dict(split.evaluation)
    for name, rows in sets.items():
        _check(name, rows)
    asked = Asked(sets)
    training = model.training
    model.eval()
    try:
        examinee = Examinee(model, tokenizer, template, settings, group)
        readings = read_answers(examinee, asked.pairs, asked.closely, asked.compared)
        norms = gradient_norms(examinee, asked.compared) if settings.gradient_norm else {}
        generated = answers(examinee, asked.prompts(readings), readings)
        sound = any(not math.isnan(reading.loss) for reading in readings.values())
        extra = harness_metrics(model, tokenizer, settings.harness) if sound else _lost(settings.harness)
    finally:
        model.train(training)
    details = {name: asked.details(name, readings, norms, generated) for name in sets}
    return Evaluation(
        metrics=summarise(details) | extra | {"eval_seconds": max(group.gather([time.perf_counter() - start]))},
        details=details,
        samples=list(_samples(sets, details)),
    )


def _check(name: str, rows: EvalSet) -> None:
    if not rows.rows:
        raise ValueError(f"evaluation set {name} has 0 rows: it needs one at least; correct the data or leave it out")
    counts = sorted({len(row.perturbed_answers) for row in rows.rows})
    if len(counts) != 1:
        raise ValueError(
            f"evaluation set {name}: {counts} wrong answers a row; truth ratios need equally many in every row (or "
            "none in any): correct the data"
        )


def _lost(tasks: Sequence[str]) -> dict[str, float]:
    return {f"harness_{task}": math.nan for task in tasks}


def _samples(sets: Mapping[str, EvalSet], details: Details) -> Iterator[dict[str, str]]:
    for name in _SAMPLED_SETS:
        if name in sets:
            texts = details[name].generated or ()
            for row, text in list(zip(sets[name].rows, texts, strict=False))[:_SAMPLES]:
                yield {"set": name, "question": row.question, "answer": row.answer, "generated": text}
