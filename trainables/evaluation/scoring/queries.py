"""The queries that evaluation sets put to a model, and the results arranged by set and row. Pure, loads no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from trainables.data.rows import EvalSet, Role, Row
from trainables.evaluation.metrics.details import SetDetails
from trainables.evaluation.metrics.membership import zlib_score
from trainables.evaluation.metrics.rouge import Rouge, rouge


class Pair(NamedTuple):
    """A question and one of its answers, or (`raw`) a text and its continuation."""

    question: str
    answer: str
    raw: bool = False


class Prompt(NamedTuple):
    """A question to answer in at most `max_new_tokens` (None: the evaluation's limit), cut before `stop`.

    `begins`: the start of a raw text without a question; its first token then serves as the prompt.
    """

    question: str
    raw: bool = False
    begins: str = ""
    max_new_tokens: int | None = None
    stop: str | None = None


class TokenStats(NamedTuple):
    """Statistics over the tokens of an answer, end of sequence excluded: see `memorisation` and `membership`.

    `min_k_plus_plus` is None unless requested.
    """

    extraction_strength: float
    exact_memorization: float
    min_k: float
    min_k_plus_plus: float | None


class Reading(NamedTuple):
    """Teacher-forced scores of one pair: mean negative log-likelihood (nats per answer token, end of sequence
    included), the number of those tokens, and the token statistics if requested.

    `matched_prefix`: how many of the answer's first tokens greedy decoding also produces; None if unknown.
    `first_miss`: the token that it produces instead of the next one; None if it matches the whole answer.
    """

    loss: float
    answer_tokens: int
    tokens: TokenStats | None = None
    matched_prefix: int | None = None
    first_miss: int | None = None


Kind: TypeAlias = Literal["scored", "generated", "norms", "task"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class EvalPart(NamedTuple):
    """A part that an evaluation can skip: a set's teacher-forced answers (`scored`, which the other parts of the set
    need), its generated answers (`generated`), gradient norms of its answers (`norms`), or a harness `task`.
    """

    kind: Kind
    name: str


def pair_of(row: Row) -> Pair:
    return Pair(row.question, row.answer, row.raw)


def prompt_of(row: Row, rows: EvalSet) -> Prompt:
    """The prompt of one of a set's rows."""
    begins = row.answer if row.raw and not row.question else ""
    return Prompt(row.question, row.raw, begins, rows.max_new_tokens, rows.stop)


class EvalQueries:
    """The queries of all sets. The set named `forget` has the role `forget`, whatever it declares.

    `text`: the answer as membership inference compresses it; `reference`: the answer as ROUGE compares it.
    `token_pairs`, `membership_pairs`: the pairs that need token statistics, and those that need min-k++.
    """

    def __init__(
        self,
        sets: Mapping[str, EvalSet],
        text: Callable[[Pair], str] = lambda pair: pair.answer,
        reference: Callable[[Pair], str] = lambda pair: pair.answer,
    ) -> None:
        self._sets, self._text, self._reference = sets, text, reference
        self.roles: dict[str, Role] = {name: "forget" if name == "forget" else rows.role for name, rows in sets.items()}
        self._compared_sets = self._membership_sets()
        self.pairs = self.pairs_of(sets)
        self.token_pairs = self.answers_of(
            [name for name, role in self.roles.items() if role != "utility" or name == "retain"]
        )
        self.membership_pairs = self.answers_of(self._compared_sets)

    def parts(self, gradient_norm: bool = False, tasks: Sequence[str] = ()) -> frozenset[EvalPart]:
        """All parts of a whole evaluation."""
        scored = {EvalPart("scored", name) for name in self._sets}
        generated = {EvalPart("generated", name) for name, rows in self._sets.items() if rows.generate}
        norms = {EvalPart("norms", name) for name in self._compared_sets if gradient_norm}
        return frozenset(scored | generated | norms | {EvalPart("task", task) for task in tasks})

    def pairs_of(self, names: Collection[str]) -> list[Pair]:
        """Questions with all of their answers, in the order of the sets."""
        sets = [rows for name, rows in self._sets.items() if name in names]
        return [pair for rows in sets for row in rows.rows for pair in _pairs_of(row)]

    def answers_of(self, names: Collection[str]) -> list[Pair]:
        """Questions with their correct answers, in the order of `names`."""
        return [pair_of(row) for name in names for row in self._sets[name].rows]

    def _membership_sets(self) -> list[str]:
        """The sets that membership inference compares; empty without a holdout set."""
        roles = self.roles
        if "holdout" not in roles.values():
            return []
        named = [name for name, role in roles.items() if role == "members"]
        return [*(named or ["forget"]), *(name for name, role in roles.items() if role == "holdout")]

    def prompts(self, readings: Mapping[Pair, Reading], names: Collection[str] | None = None) -> Iterator[Prompt]:
        """Questions (of the sets in `names`) to answer, without those whose loss is NaN: such a model never stops."""
        for name, rows in self._sets.items():
            if rows.generate and (names is None or name in names):
                for row in rows.rows:
                    if not math.isnan(readings[pair_of(row)].loss):
                        yield prompt_of(row, rows)

    def details(
        self,
        name: str,
        readings: Mapping[Pair, Reading],
        norms: Mapping[Pair, float],
        generated: Mapping[Prompt, str],
        parts: Collection[EvalPart],
    ) -> SetDetails:
        """One set, row by row, with the measurements of `parts`."""
        rows, role = self._sets[name], self.roles[name]
        if EvalPart("scored", name) not in parts:
            return SetDetails(role=role, multiple_choice=rows.multiple_choice, rouge=rows.rouge)
        read = [readings[pair_of(row)] for row in rows.rows]
        written = rows.generate and EvalPart("generated", name) in parts
        texts = [generated.get(prompt_of(row, rows), "") for row in rows.rows] if written else []
        return SetDetails(
            role=role,
            multiple_choice=rows.multiple_choice,
            rouge=rows.rouge,
            loss=[reading.loss for reading in read],
            tokens=[reading.answer_tokens for reading in read],
            paraphrase_loss=_paraphrase_losses(rows, readings),
            perturbed_losses=_perturbed_losses(rows, readings),
            generated=texts if written else None,
            **(self._rouge(rows, read, texts) if written else {}),
            **_memorisation(read),
            attacks=self._attacks(rows, read, norms) if name in self._compared_sets else {},
        )

    def _rouge(self, rows: EvalSet, read: Sequence[Reading], texts: Sequence[str]) -> dict[str, Any]:
        """NaN for rows whose loss is NaN, which were not generated."""
        scores = [
            (math.nan,) * len(Rouge._fields) if math.isnan(reading.loss) else rouge(self._reference(pair_of(row)), text)
            for row, reading, text in zip(rows.rows, read, texts, strict=True)
        ]
        return dict(zip(Rouge._fields, map(list, zip(*scores, strict=True)), strict=True))

    def _attacks(self, rows: EvalSet, read: Sequence[Reading], norms: Mapping[Pair, float]) -> dict[str, list[float]]:
        tokens = [reading.tokens for reading in read if reading.tokens is not None]
        attacks = {
            "loss": [reading.loss for reading in read],
            "zlib": [
                zlib_score(reading.loss, self._text(pair_of(row))) for row, reading in zip(rows.rows, read, strict=True)
            ],
            "min_k": [each.min_k for each in tokens],
            "min_k_plus_plus": [each.min_k_plus_plus for each in tokens if each.min_k_plus_plus is not None],
        }
        if all(pair_of(row) in norms for row in rows.rows):
            attacks["gradnorm"] = [norms[pair_of(row)] for row in rows.rows]
        return attacks


def _pairs_of(row: Row) -> Iterator[Pair]:
    yield pair_of(row)
    if row.paraphrased_answer is not None:
        yield Pair(row.question, row.paraphrased_answer, row.raw)
    for wrong in row.perturbed_answers:
        yield Pair(row.question, wrong, row.raw)


def _paraphrase_losses(rows: EvalSet, readings: Mapping[Pair, Reading]) -> list[float] | None:
    """With the answer in place of a missing paraphrase; None if no row has a paraphrase."""
    if all(row.paraphrased_answer is None for row in rows.rows):
        return None
    texts = [row.answer if row.paraphrased_answer is None else row.paraphrased_answer for row in rows.rows]
    return [readings[Pair(row.question, text, row.raw)].loss for row, text in zip(rows.rows, texts, strict=True)]


def _perturbed_losses(rows: EvalSet, readings: Mapping[Pair, Reading]) -> list[list[float]] | None:
    if not any(row.perturbed_answers for row in rows.rows):
        return None
    return [[readings[Pair(row.question, wrong, row.raw)].loss for wrong in row.perturbed_answers] for row in rows.rows]


def _memorisation(read: Sequence[Reading]) -> dict[str, Any]:
    tokens = [reading.tokens for reading in read if reading.tokens is not None]
    if len(tokens) != len(read):
        return {}
    return {
        name: [
            math.nan if math.isnan(reading.loss) else getattr(each, name)
            for each, reading in zip(tokens, read, strict=True)
        ]
        for name in ("extraction_strength", "exact_memorization")
    }
