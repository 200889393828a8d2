"""Which parts of an evaluation a metric needs: found by leaving parts out, listed nowhere.

A sketch of the sets (a few made-up rows of the same form, with made-up readings) goes through the very code that makes
metrics of what a model answers, whole and with parts missing. What a metric does not notice, it does not need. No model
and no data are looked at, only the sets' forms. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

from trainables.config import EvaluationConfig
from trainables.data.rows import EvalSet, Row
from trainables.evaluation.harness import harness_key
from trainables.evaluation.metrics.details import Details
from trainables.evaluation.metrics.summary import compare, retain_reference
from trainables.evaluation.scoring.queries import (
    EvalQueries,
    Kind,
    EvalPart,
    Pair,
    Prompt,
    Reading,
    TokenStats,
    pair_of,
    prompt_of,
)

_ROWS = 3
_AFTER_READING: tuple[Kind, ...] = ("written", "norms")
"""What is measured of a set only where its answers were read: decoding begins where they tell it to."""


@dataclass(frozen=True)
class Needs:
    """`parts`: what must be measured. `lost`: metrics of a whole evaluation that these parts do not give truly."""

    parts: frozenset[EvalPart]
    lost: frozenset[str]


def needs_of(sets: Mapping[str, EvalSet], settings: EvaluationConfig, metrics: Iterable[str]) -> Needs:
    """The fewest parts of an evaluation of these sets that give the metrics as a whole one does.

    Metrics that no evaluation of these sets has need nothing.
    """
    parts = EvalQueries(sets).parts(settings.gradient_norm, settings.harness)
    sketch = Sketch(sets, parts)
    whole = sketch.metrics(parts)
    wanted = [name for name in metrics if name in whole]
    without = {part: sketch.metrics(_without(parts, part)) for part in parts}
    needed = frozenset(part for part in parts if any(without[part].get(name) != whole[name] for name in wanted))
    needed |= {EvalPart("read", part.name) for part in needed if part.kind in _AFTER_READING}
    found = sketch.metrics(needed)
    lost = frozenset(name for name in whole if found.get(name) != whole[name])
    # Two parts could stand in for each other, each of them dispensable while the other is there.
    return Needs(parts, frozenset()) if lost & {*wanted} else Needs(needed, lost)


def _without(parts: Collection[EvalPart], part: EvalPart) -> frozenset[EvalPart]:
    """What is left when one part is not measured, and hence nothing that follows from it."""
    after = (EvalPart(kind, part.name) for kind in _AFTER_READING if part.kind == "read")
    return frozenset(parts) - {part, *after}


class Sketch:
    """Sets of the same form, and a model's made-up readings and answers; metrics of any parts of them."""

    def __init__(self, sets: Mapping[str, EvalSet], parts: Collection[EvalPart]) -> None:
        self._sets = {name: _sketched(name, rows) for name, rows in sets.items()}
        self._asked = EvalQueries(self._sets)
        self._tasks = {part: 0.5 for part in parts if part.kind == "task"}
        self._ours, theirs = self._drawn(Random(1)), self._drawn(Random(2))
        self._yardstick = retain_reference(self._details(parts, *theirs))

    def metrics(self, parts: Collection[EvalPart]) -> dict[str, float]:
        """What these parts give, in the order of an evaluation."""
        tasks = {harness_key(part.name): value for part, value in self._tasks.items() if part in parts}
        return compare(self._details(parts, *self._ours), self._yardstick, 0.9) | tasks

    def _details(
        self, parts: Collection[EvalPart], readings: Mapping[Pair, Reading], norms: Mapping[Pair, float]
    ) -> Details:
        normed = {EvalPart("norms", name) for name in self._sets} & {*parts}
        known = {pair: norms[pair] for pair in self._asked.answers_of([part.name for part in normed])}
        texts = self._texts()
        return {name: self._asked.details(name, readings, known, texts, parts) for name in self._sets}

    def _drawn(self, random: Random) -> tuple[dict[Pair, Reading], dict[Pair, float]]:
        """Wrong answers are less likely than right ones: a score that is clipped to 0 would hide what it is made of."""
        right = {pair_of(row) for rows in self._sets.values() for row in rows.rows}
        closely = {*self._asked.token_pairs, *self._asked.membership_pairs}
        readings = {}
        for pair in self._asked.pairs:
            tokens = TokenStats(*(random.uniform(0.1, 0.9) for _ in range(4))) if pair in closely else None
            readings[pair] = Reading(random.uniform(0.5, 1.0) + (pair not in right), 3, tokens)
        return readings, {pair: random.random() for pair in right}

    def _texts(self) -> dict[Prompt, str]:
        """Answers that are right in part."""
        rows = [(of_set, row) for of_set in self._sets.values() for row in of_set.rows]
        return {
            prompt_of(row, of_set.max_new_tokens, of_set.stop): f"{row.answer} it is and it is" for of_set, row in rows
        }


def _sketched(name: str, rows: EvalSet) -> EvalSet:
    form = rows.rows[0]
    paraphrased = any(row.paraphrased_answer is not None for row in rows.rows)

    def row(i: int) -> Row:
        place = f"{i} of {name}"
        return Row(
            question=f"question {place}",
            answer=f"answer {place}",
            paraphrased_answer=f"paraphrase {place}" if paraphrased else None,
            perturbed_answers=tuple(f"wrong {j} to {place}" for j in range(len(form.perturbed_answers))),
            raw=form.raw,
        )

    return replace(rows, rows=tuple(map(row, range(_ROWS))), stop=None)
