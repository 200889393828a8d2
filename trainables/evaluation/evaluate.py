"""Evaluates a model on a split: the details of every set, from one teacher-forced pass and one of generation.

Knows sets and which questions to put; the passes are in `reading` and `answering`, what follows from the details in
`summary`. Loads torch when it is called.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from trainables.config import EvaluationConfig
from trainables.data.rows import EvalSet, Split
from trainables.evaluation.harness import harness_key
from trainables.evaluation.metrics.details import Details
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import summarise
from trainables.evaluation.scoring.queries import KINDS, EvalQueries, EvalPart, Pair, Prompt, Reading
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

    Every (question, answer) is scored once whatever it is used for. NaN weights give NaN metrics. The model is put in
    evaluation mode for the time. Raises ValueError for a set that is empty, or whose rows differ in the number of
    wrong answers; and for tasks of the lm-evaluation-harness where it is not installed.
    """
    examination = StagedEvaluation(model, tokenizer, template, split, settings, group)
    examination.measure(examination.parts)
    return examination.evaluation()


class StagedEvaluation:
    """An evaluation in steps: whatever was measured in one step need not be measured in the next. Otherwise `evaluate`.

    `parts`: everything that there is to measure. The weights must not change between the steps.
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
        self._examinee = EvaluatedModel(model, tokenizer, template, settings, group)
        self._asked = EvalQueries(self.sets, self._examinee.answer_text, self._examinee.reference)
        self.parts = self._asked.parts(settings.gradient_norm, settings.harness)
        self._measured: set[EvalPart] = set()
        self._readings: dict[Pair, Reading] = {}
        self._norms: dict[Pair, float] = {}
        self._generated: dict[Prompt, str] = {}
        self._tasks: dict[str, float] = {}
        self._seconds = 0.0

    def measure(self, parts: Collection[EvalPart]) -> None:
        """Measure those of the parts that have not been measured. All ranks ask for the same."""
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

        asked, evaluated, readings = self._asked, self._examinee, self._readings
        pairs = [pair for pair in asked.pairs_of(names["read"]) if pair not in readings]
        readings |= read_answers(evaluated, pairs, asked.token_pairs, asked.membership_pairs) if pairs else {}
        normed = asked.answers_of([name for name in self.sets if name in names["norms"]])
        unknown = [pair for pair in normed if pair not in self._norms]
        self._norms |= gradient_norms(evaluated, unknown) if unknown else {}
        prompts = [prompt for prompt in asked.prompts(readings, names["written"]) if prompt not in self._generated]
        self._generated |= answers(evaluated, prompts, readings) if names["written"] else {}
        tasks = [task for task in self.settings.harness if task in names["task"]]
        sound = any(not math.isnan(reading.loss) for reading in readings.values())
        self._tasks |= harness_metrics(self._model, self._tokenizer, tasks) if sound else _lost(tasks)

    def evaluation(self) -> Evaluation:
        """What the parts that were measured say. All ranks call it together."""
        details = {
            name: self._asked.details(name, self._readings, self._norms, self._generated, self._measured)
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
        raise ValueError(f"evaluation set {name} has 0 rows: it needs one at least; correct the data or leave it out")
    counts = sorted({len(row.perturbed_answers) for row in rows.rows})
    if len(counts) != 1:
        raise ValueError(
            f"evaluation set {name}: {counts} wrong answers a row; truth ratios need equally many in every row (or "
            "none in any): correct the data"
        )


def _lost(tasks: Sequence[str]) -> dict[str, float]:
    return {harness_key(task): math.nan for task in tasks}


def _samples(sets: Mapping[str, EvalSet], details: Details) -> Iterator[dict[str, str]]:
    for name in _SAMPLED_SETS:
        if name in sets:
            texts = details[name].generated or ()
            for row, text in list(zip(sets[name].rows, texts, strict=False))[:_SAMPLES]:
                yield {"set": name, "question": row.question, "answer": row.answer, "generated": text}
