"""A published evaluation log in place of a retain model: enough for the metrics that compare a checkpoint with it.

Checks that the log has the rows of the benchmark, in the same order, before anything is compared. Loads no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.data.rows import Row, Split
from trainables.evaluation.logs.adapt import Adapted, adapt
from trainables.evaluation.logs.check import checked
from trainables.evaluation.logs.log import Index, Log, LogError
from trainables.evaluation.logs.read import read_log
from trainables.evaluation.metrics.aggregates import MIA_ATTACKS
from trainables.evaluation.metrics.details import Details
from trainables.evaluation.metrics.summary import retain_reference

_SHOWN_DIFFERENCES, _SHOWN_LETTERS = 3, 40

_COMPARISONS: Mapping[str, tuple[str, ...]] = {
    "truth_ratios": ("forget_quality", "log10_forget_quality", "ks_distance"),
    "losses": ("loss_quality", "log10_loss_quality", "loss_ks_distance", "loss_shift"),
    "writing": ("stammer_excess", "gibberish_excess", "length_excess"),
    "mia": ("privleak", "privleak_distance"),
    "all_mia": ("privacy_score", "unlearning_score"),
    "member_losses": ("mia_reference",),
}
"""Metrics by the entry of `retain_reference` that they need; `all_mia`: the AUCs of all four attacks."""


def read_retain_log(file: Path, split: Split) -> Details:
    """The retain model's values for the rows of `split`, in their order.

    Raises LogError if the file is not an evaluation log, or has other rows than the benchmark.
    """
    log = _in_order(checked(read_log(file)))
    adapted = adapt(log)
    found = list(_differences(log, adapted, split))
    if found:
        more = f" and {len(found) - _SHOWN_DIFFERENCES} more" if len(found) > _SHOWN_DIFFERENCES else ""
        raise LogError(
            f"{file}: is not a log of the benchmark's rows at fraction {split.fraction:g}: "
            f"{'; '.join(found[:_SHOWN_DIFFERENCES])}{more}; give the log of the retain model of this fraction"
        )
    return adapted.details


def missing_metrics(details: Details) -> tuple[str, ...]:
    """Metrics that compare a checkpoint with the retain model, but for which its log lacks values."""
    found = retain_reference(details)
    aucs = found.get("mia", {})
    reference = {**found, "mia": "min_k" in aucs or None, "all_mia": {*MIA_ATTACKS} <= {*aucs} or None}
    return tuple(name for needed, names in _COMPARISONS.items() if reference.get(needed) is None for name in names)


def log_note(details: Details) -> str:
    """The sentence of reports for a log with these values."""
    missing = (*missing_metrics(details), "attacks on the retain model")
    return f"a published evaluation log stands for the retain model; not available: {', '.join(missing)}"


def _in_order(log: Log) -> Log:
    """Columns ordered by row, and without the guard: it belongs to the evaluation, which adds it to both models."""

    def ordered(column: Mapping[Index, Any]) -> dict[Index, Any]:
        return dict(sorted(column.items(), key=lambda item: (isinstance(item[0], str), item[0])))

    sets = {
        name: replace(of_set, columns={key: ordered(column) for key, column in of_set.columns.items()})
        for name, of_set in log.sets.items()
    }
    return replace(log, sets=sets, guard=0.0)


def _differences(log: Log, adapted: Adapted, split: Split) -> Iterator[str]:
    """What differs from the benchmark, one short phrase each."""
    forget, rows = log.sets.get("forget"), split.evaluation["forget"].rows
    values = adapted.rows.get("forget", {})
    if forget is None or not (values["ratio"] or values["loss"]):
        yield "it has no losses or truth ratios of forget rows"
        return
    for name, found in values.items():
        if found and tuple(found) != tuple(range(len(rows))):
            what = "truth ratios" if name == "ratio" else "losses"
            yield f"{len(found)} rows with {what} instead of rows 0 to {len(rows) - 1}"
    for index, row in enumerate(rows):
        yield from _other_texts(index, row, forget.columns.get("question", {}), forget.columns.get("answer", {}))
    holdout, attacks = split.evaluation.get("holdout"), adapted.details.get("holdout")
    if holdout is not None and attacks is not None:
        for count in {len(scores) for scores in attacks.attacks.values()} - {len(holdout.rows)}:
            yield f"{count} holdout rows instead of {len(holdout.rows)}"


def _other_texts(index: int, row: Row, questions: Mapping[Index, Any], answers: Mapping[Index, Any]) -> Iterator[str]:
    """A log's question is the whole prompt, so it only has to contain the row's."""
    question, answer = _plain(questions.get(index, row.question)), _plain(answers.get(index, row.answer))
    if _plain(row.question) not in question:
        yield f"row {index} does not ask {_short(row.question)}"
    elif answer != _plain(row.answer):
        yield f"row {index} is answered {_short(answer)} instead of {_short(row.answer)}"


def _plain(text: object) -> str:
    """Letters and digits only: formats clean the ends of texts and the spaces between them differently."""
    return re.sub(r"[\W_]+", " ", str(text).casefold()).strip()


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}…")
