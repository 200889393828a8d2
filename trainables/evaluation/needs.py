"""Which parts of an evaluation a metric needs, found by leaving parts out.

The code that computes metrics runs on a sketch of the sets (a few made-up rows of the same form, with made-up
readings), as a whole and with each part missing. A metric does not need a part whose absence leaves its value
unchanged. Uses no model and only the form of the data; loads no torch.
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
    EvalPart,
    EvalQueries,
    Kind,
    Pair,
    Prompt,
    Reading,
    TokenStats,
    pair_of,
    prompt_of,
)

_ROWS = 3
_AFTER_SCORING: tuple[Kind, ...] = ("generated", "norms")
"""Parts of a set that need its scored answers: decoding starts from the prefixes that they reveal."""


@dataclass(frozen=True)
class Needs:
    """`parts`: what must be measured. `lost`: metrics of a whole evaluation that these parts do not give correctly."""

    parts: frozenset[EvalPart]
    lost: frozenset[str]


def needs_of(sets: Mapping[str, EvalSet], settings: EvaluationConfig, metrics: Iterable[str]) -> Needs:
    """The fewest parts of an evaluation of these sets that give the metrics the values of a whole evaluation.

    Metrics that these sets cannot give need no part.
    """
    parts = EvalQueries(sets).parts(settings.gradient_norm, settings.harness)
    sketch = _Sketch(sets, parts)
    whole = sketch.metrics(parts)
    wanted = [name for name in metrics if name in whole]
    without = {part: sketch.metrics(_without(parts, part)) for part in parts}
    needed = frozenset(part for part in parts if any(without[part].get(name) != whole[name] for name in wanted))
    needed |= {EvalPart("scored", part.name) for part in needed if part.kind in _AFTER_SCORING}
    found = sketch.metrics(needed)
    lost = frozenset(name for name in whole if found.get(name) != whole[name])
    # Two parts could replace each other, so that each seems dispensable while the other is present.
    return Needs(parts, frozenset()) if lost & {*wanted} else Needs(needed, lost)


def _without(parts: Collection[EvalPart], part: EvalPart) -> frozenset[EvalPart]:
    """The parts that can still be measured without this one."""
    after = (EvalPart(kind, part.name) for kind in _AFTER_SCORING if part.kind == "scored")
    return frozenset(parts) - {part, *after}


class _Sketch:
    """Sets of the same form with made-up readings and answers, and the metrics of any of their parts."""

    def __init__(self, sets: Mapping[str, EvalSet], parts: Collection[EvalPart]) -> None:
        self._sets = {name: _sketch_of(name, rows) for name, rows in sets.items()}
        self._queries = EvalQueries(self._sets)
        self._tasks = {part: 0.5 for part in parts if part.kind == "task"}
        self._ours, theirs = self._random_model(Random(1)), self._random_model(Random(2))
        self._reference = retain_reference(self._details(parts, *theirs))

    def metrics(self, parts: Collection[EvalPart]) -> dict[str, float]:
        """The metrics of these parts, in the order of an evaluation."""
        tasks = {harness_key(part.name): value for part, value in self._tasks.items() if part in parts}
        return compare(self._details(parts, *self._ours), self._reference, 0.9) | tasks

    def _details(
        self, parts: Collection[EvalPart], readings: Mapping[Pair, Reading], norms: Mapping[Pair, float]
    ) -> Details:
        with_norms = [name for name in self._sets if EvalPart("norms", name) in parts]
        known = {pair: norms[pair] for pair in self._queries.answers_of(with_norms)}
        texts = self._texts()
        return {name: self._queries.details(name, readings, known, texts, parts) for name in self._sets}

    def _random_model(self, random: Random) -> tuple[dict[Pair, Reading], dict[Pair, float]]:
        """Wrong answers are less likely than right ones, since a score clipped to 0 would not depend on its parts."""
        right = {pair_of(row) for rows in self._sets.values() for row in rows.rows}
        with_tokens = {*self._queries.token_pairs, *self._queries.membership_pairs}
        readings = {}
        for pair in self._queries.pairs:
            tokens = TokenStats(*(random.uniform(0.1, 0.9) for _ in range(4))) if pair in with_tokens else None
            readings[pair] = Reading(random.uniform(0.5, 1.0) + (pair not in right), 3, tokens)
        return readings, {pair: random.random() for pair in right}

    def _texts(self) -> dict[Prompt, str]:
        """Partly correct answers."""
        rows = [(of_set, row) for of_set in self._sets.values() for row in of_set.rows]
        return {prompt_of(row, of_set): f"{row.answer} it is and it is" for of_set, row in rows}


def _sketch_of(name: str, rows: EvalSet) -> EvalSet:
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
