"""What the sets of a split ask of a model, and its answers put back in their places. Pure: no model, no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from trainables.data.rows import EvalSet, Role, Row
from trainables.evaluation.metrics.details import SetDetails
from trainables.evaluation.metrics.membership import zlib_score
from trainables.evaluation.metrics.rouge import rouge


class Pair(NamedTuple):
    """A question and one of its answers, or (`raw`) a text and what follows."""

    question: str
    answer: str
    raw: bool = False


class Prompt(NamedTuple):
    """What is to be answered, in at most `max_new_tokens` (None: the evaluation's own), cut before `stop`.

    `begins`: what a raw text without a question begins with; its first token is the prompt if nothing else is.
    """

    question: str
    raw: bool = False
    begins: str = ""
    max_new_tokens: int | None = None
    stop: str | None = None


class Tokens(NamedTuple):
    """What the single tokens of an answer say, end of sequence left out: see `memorisation` and `membership`.

    `min_k_plus_plus` is None where it was not asked for.
    """

    extraction_strength: float
    exact_memorization: float
    min_k: float
    min_k_plus_plus: float | None


class Reading(NamedTuple):
    """Of one pair: mean negative log-likelihood (nats per answer token, end of sequence included), the number of those
    tokens, and what was read off the single ones where that was asked for.

    `recited`: how many of the first tokens are what greedy decoding writes too; `instead`: what it writes in place of
    the next one (None: it recites all). None where nobody looked.
    """

    loss: float
    answer_tokens: int
    tokens: Tokens | None = None
    recited: int | None = None
    instead: int | None = None


Kind: TypeAlias = Literal["read", "written", "norms", "task"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class MicroBatch(NamedTuple):
    """What can be left out of an evaluation: teacher-forced answers of a set (`read`; what follows needs them), its
    own answers (`written`), gradient norms of its answers (`norms`); or (`task`) a task of the harness.
    """

    kind: Kind
    name: str


def pair_of(row: Row) -> Pair:
    """A row's question and answer."""
    return Pair(row.question, row.answer, row.raw)


def prompt_of(row: Row, max_new_tokens: int | None = None, stop: str | None = None) -> Prompt:
    """A row's question."""
    return Prompt(row.question, row.raw, row.answer if row.raw and not row.question else "", max_new_tokens, stop)


class EvalQueries:
    """The questions of all sets. The set called `forget` is what must go, whatever its role says.

    `text`: of an answer, as membership inference compresses it; `reference`: as ROUGE compares with it.
    """

    def __init__(
        self,
        sets: Mapping[str, EvalSet],
        text: Callable[[Pair], str] = lambda pair: pair.answer,
        reference: Callable[[Pair], str] = lambda pair: pair.answer,
    ) -> None:
        self._sets, self._text, self._reference = sets, text, reference
        self.roles: dict[str, Role] = {name: "forget" if name == "forget" else rows.role for name, rows in sets.items()}
        close = [name for name, role in self.roles.items() if role != "utility" or name == "retain"]
        self._compared_sets = self._membership_sets()
        self.pairs = self.pairs_of(sets)
        self.closely = self.answers_of(close)
        self.compared = self.answers_of(self._compared_sets)

    def parts(self, gradient_norm: bool = False, tasks: Sequence[str] = ()) -> frozenset[MicroBatch]:
        """Everything that a whole evaluation has."""
        read = {MicroBatch("read", name) for name in self._sets}
        written = {MicroBatch("written", name) for name, rows in self._sets.items() if rows.generate}
        norms = {MicroBatch("norms", name) for name in self._compared_sets if gradient_norm}
        return frozenset(read | written | norms | {MicroBatch("task", task) for task in tasks})

    def pairs_of(self, names: Collection[str]) -> list[Pair]:
        """Questions and all their answers, in the order of the sets."""
        sets = [rows for name, rows in self._sets.items() if name in names]
        return [pair for rows in sets for row in rows.rows for pair in _pairs_of(row)]

    def answers_of(self, names: Collection[str]) -> list[Pair]:
        """Questions and their own answers, in the order of `names`."""
        return [pair_of(row) for name in names for row in self._sets[name].rows]

    def _membership_sets(self) -> list[str]:
        """Those that membership inference compares; none where there is no set to compare with."""
        roles = self.roles
        if "holdout" not in roles.values():
            return []
        named = [name for name, role in roles.items() if role == "members"]
        return [*(named or ["forget"]), *(name for name, role in roles.items() if role == "holdout")]

    def prompts(self, readings: Mapping[Pair, Reading], names: Collection[str] | None = None) -> Iterator[Prompt]:
        """Questions (of the sets in `names`) worth a generation: a NaN model would only be waited for, token by token,
        to its longest answer.
        """
        for name, rows in self._sets.items():
            if rows.generate and (names is None or name in names):
                for row in rows.rows:
                    if not math.isnan(readings[pair_of(row)].loss):
                        yield prompt_of(row, rows.max_new_tokens, rows.stop)

    def details(
        self,
        name: str,
        readings: Mapping[Pair, Reading],
        norms: Mapping[Pair, float],
        generated: Mapping[Prompt, str],
        parts: Collection[MicroBatch] | None = None,
    ) -> SetDetails:
        """The set of that name, row by row; of `parts` only, if they are given."""
        rows, role = self._sets[name], self.roles[name]
        if parts is not None and MicroBatch("read", name) not in parts:
            return SetDetails(role=role, multiple_choice=rows.multiple_choice, rouge=rows.rouge)
        read = [readings[pair_of(row)] for row in rows.rows]
        written = rows.generate and (parts is None or MicroBatch("written", name) in parts)
        prompts = [prompt_of(row, rows.max_new_tokens, rows.stop) for row in rows.rows] if written else []
        texts = [generated.get(prompt, "") for prompt in prompts]
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
        """NaN for rows that a model without a distribution was not asked."""
        found = [rouge(self._reference(pair_of(row)), text) for row, text in zip(rows.rows, texts, strict=True)]
        scores = [
            each if not math.isnan(reading.loss) else (math.nan,) * len(each)
            for each, reading in zip(found, read, strict=True)
        ]
        names = ("rouge_1_recall", "rouge_l_recall", "rouge_l_f1")
        return {name: list(values) for name, values in zip(names, zip(*scores, strict=True), strict=True)}

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
    """The answer stands in where a row has no paraphrase; None where no row has one."""
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
    nan = [math.isnan(reading.loss) for reading in read]
    return {
        name: [math.nan if lost else getattr(each, name) for each, lost in zip(tokens, nan, strict=True)]
        for name in ("extraction_strength", "exact_memorization")
    }
