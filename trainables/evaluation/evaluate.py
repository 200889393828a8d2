"""Evaluates a model on a split: the details of every set, from one teacher-forced pass and one generation pass.

Loads torch when called.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from trainables.config import EvaluationConfig
from trainables.data.rows import EvalSet, Split
from trainables.evaluation.harness import harness_key
from trainables.evaluation.metrics.details import Details
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import summarise
from trainables.evaluation.scoring.queries import KINDS, EvalPart, EvalQueries, Pair, Prompt, Reading
from trainables.runtime.ranks import Group

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

    Every (question, answer) is scored once, however many metrics use it. NaN weights give NaN metrics. The model is in
    evaluation mode during the call. Raises ValueError for an empty set, for rows that differ in the number of wrong
    answers, and for tasks of the lm-evaluation-harness if it is not installed.
    """
    staged = StagedEvaluation(model, tokenizer, template, split, settings, group)
    staged.measure(staged.parts)
    return staged.evaluation()


class StagedEvaluation:
    """As `evaluate`, in stages that never measure anything twice.

    `parts`: all parts that can be measured. The weights must not change between stages.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        template: str,
        split: Split,
        settings: EvaluationConfig,
        group: Group,
    ) -> None:
        from trainables.evaluation.scoring.evaluator import EvaluatedModel

        self.sets = dict(split.evaluation)
        for name, rows in self.sets.items():
            _check(name, rows)
        self.settings, self.group = settings, group
        self._model, self._tokenizer = model, tokenizer
        self._evaluated = EvaluatedModel(model, tokenizer, template, settings, group)
        self._queries = EvalQueries(self.sets, self._evaluated.answer_text, self._evaluated.reference)
        self.parts = self._queries.parts(settings.gradient_norm, settings.harness)
        self._measured: set[EvalPart] = set()
        self._readings: dict[Pair, Reading] = {}
        self._norms: dict[Pair, float] = {}
        self._generated: dict[Prompt, str] = {}
        self._tasks: dict[str, float] = {}
        self._seconds = 0.0

    def measure(self, parts: Collection[EvalPart]) -> None:
        """Measure the parts that have not been measured yet, the same on all ranks."""
        start = time.perf_counter()
        new = [part for part in parts if part not in self._measured]
        training = self._model.training
        self._model.eval()
        try:
            self._measure({kind: {part.name for part in new if part.kind == kind} for kind in KINDS})
        finally:
            self._model.train(training)
        self._measured.update(new)
        self._seconds += time.perf_counter() - start

    def _measure(self, names: Mapping[str, Collection[str]]) -> None:
        from trainables.evaluation.decoding.answers import answers
        from trainables.evaluation.harness import harness_metrics
        from trainables.evaluation.scoring.gradient_norms import gradient_norms
        from trainables.evaluation.scoring.read import read_answers

        queries, evaluated, readings = self._queries, self._evaluated, self._readings
        pairs = [pair for pair in queries.pairs_of(names["scored"]) if pair not in readings]
        readings |= read_answers(evaluated, pairs, queries.token_pairs, queries.membership_pairs) if pairs else {}
        with_norms = queries.answers_of([name for name in self.sets if name in names["norms"]])
        pairs = [pair for pair in with_norms if pair not in self._norms]
        self._norms |= gradient_norms(evaluated, pairs) if pairs else {}
        prompts = [each for each in queries.prompts(readings, names["generated"]) if each not in self._generated]
        self._generated |= answers(evaluated, prompts, readings) if names["generated"] else {}
        tasks = [task for task in self.settings.harness if task in names["task"]]
        if any(not math.isnan(reading.loss) for reading in readings.values()):
            self._tasks |= harness_metrics(self._model, self._tokenizer, tasks)
        else:
            self._tasks |= {harness_key(task): math.nan for task in tasks}

    def evaluation(self) -> Evaluation:
        """Metrics and details of the measured parts. All ranks call it together."""
        details = {
            name: self._queries.details(name, self._readings, self._norms, self._generated, self._measured)
            for name in self.sets
        }
        return Evaluation(
            metrics=summarise(details, self.settings.guard)
            | self._tasks
            | {"eval_seconds": max(self.group.gather([self._seconds]))},
            details=details,
            samples=list(_samples(self.sets, details)),
        )


def _check(name: str, rows: EvalSet) -> None:
    if not rows.rows:
        raise ValueError(f"evaluation set {name} has 0 rows: it needs at least one; correct the data or remove the set")
    counts = sorted({len(row.perturbed_answers) for row in rows.rows})
    if len(counts) != 1:
        raise ValueError(
            f"evaluation set {name}: {counts} wrong answers per row; truth ratios need the same number in every row; "
            "correct the data"
        )


def _samples(sets: Mapping[str, EvalSet], details: Details) -> Iterator[dict[str, str]]:
    for name in _SAMPLED_SETS:
        if name in sets:
            texts = details[name].generated or ()
            for row, text in list(zip(sets[name].rows, texts, strict=False))[:_SAMPLES]:
                yield {"set": name, "question": row.question, "answer": row.answer, "generated": text}
