"""Converts the columns of a log to `Details`, so that logs and live evaluations share the code of the metrics.

A format may add a small guard to denominators, or store truth ratios and shares without the losses behind them. Both
are turned into losses that give exactly those values: a paraphrase's loss includes the guard of the truth ratio, a
choice's loss gives its share among the choices. So the losses of a multiple-choice set are not the model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from trainables.evaluation.logs.log import Index, Log, LogError, SetRows
from trainables.evaluation.logs.names import MEMORISATION
from trainables.evaluation.metrics.details import Details, SetDetails
from trainables.evaluation.metrics.tofu import Floats

_ATTACK = "attack:"
_PLAIN = ("rouge_1_recall", "rouge_l_recall", "rouge_l_f1", *MEMORISATION)
_SAME = 1e-5  # relative; larger than float32 errors


@dataclass(frozen=True)
class Adapted:
    """`details` of a log. `rows`: for each set, the row indices of its losses (`loss`) and truth ratios (`ratio`)."""

    details: Details
    rows: Mapping[str, Mapping[str, tuple[Index, ...]]]


def adapt(log: Log, forget: Mapping[str, Sequence[Index]] | None = None) -> Adapted:
    """`forget`: the rows of the forget set to use, in order, for `loss` and `ratio`; None: all.

    Raises LogError if right and wrong answers have no row in common.
    """
    details, rows = {}, {}
    with np.errstate(all="ignore"):
        for name, of_set in log.sets.items():
            chosen = forget if forget is not None and name == "forget" else {}
            details[name], rows[name] = _adapt_set(log, name, of_set, chosen)
    return Adapted(details, rows)


def _adapt_set(
    log: Log, name: str, of_set: SetRows, chosen: Mapping[str, Sequence[Index]]
) -> tuple[SetDetails, dict[str, tuple[Index, ...]]]:
    ratio_rows, paraphrase, perturbed = _ratios(log, name, of_set, chosen.get("ratio"))
    if of_set.multiple_choice and ratio_rows:
        loss_rows, loss = _choices(log, of_set, ratio_rows, perturbed)
    else:
        loss_rows, loss = _losses(of_set, chosen.get("loss"))
    multiple_choice = of_set.multiple_choice and bool(ratio_rows and loss_rows)
    if multiple_choice and loss_rows != ratio_rows:  # keep only the ratios of rows that have a share
        places = {row: place for place, row in enumerate(ratio_rows)}
        kept = [places[row] for row in loss_rows]
        paraphrase, perturbed, ratio_rows = paraphrase[kept], perturbed[kept], loss_rows
    floats = {name: cast("tuple[float, ...]", tuple(column.values())) for name, column in of_set.columns.items()}
    plain: dict[str, Any] = {name: floats[name] for name in _PLAIN if name in floats}
    details = SetDetails(
        role=of_set.role,
        multiple_choice=multiple_choice,
        rouge=of_set.rouge,
        loss=loss.tolist() if loss_rows else None,
        paraphrase_loss=paraphrase.tolist() if ratio_rows else None,
        perturbed_losses=perturbed.tolist() if ratio_rows else None,
        generated=_generated(of_set, loss_rows),
        attacks={name.removeprefix(_ATTACK): floats[name] for name in floats if name.startswith(_ATTACK)},
        **plain,
    )
    return details, {"loss": loss_rows, "ratio": ratio_rows}


def _generated(of_set: SetRows, loss_rows: tuple[Index, ...]) -> tuple[str, ...] | None:
    """Texts of the rows that have a loss, or of all rows if none has one; None if a text is missing."""
    texts = of_set.columns.get("generated", {})
    rows = loss_rows or tuple(texts)
    return tuple(str(texts[row]) for row in rows) if rows and all(row in texts for row in rows) else None


# --- truth ratios


def _ratios(
    log: Log, name: str, of_set: SetRows, chosen: Sequence[Index] | None
) -> tuple[tuple[Index, ...], Floats, Floats]:
    """Rows, losses (rows,) of the right answer including the guard, and losses (rows, k) of the wrong ones."""
    right, wrong = right_losses(of_set), wrong_losses(of_set)
    if right and wrong:
        rows = _rows((right, wrong), chosen)
        if not rows and chosen is None:
            raise LogError(
                f"{log.file}: right and wrong answers of the {name} set share no row index; take both from one run"
            )
        losses = np.array([right[row] for row in rows], dtype=np.float64)
        guarded = -np.logaddexp(-losses, math.log(log.guard)) if log.guard else losses
        return rows, guarded, _as_matrix([wrong[row] for row in rows])
    stored: Mapping[Index, Any] = of_set.columns.get("truth_ratio", {})
    rows = _rows((stored,), chosen)
    return rows, np.log(np.array([stored[row] for row in rows], dtype=np.float64)), np.zeros((len(rows), 1))


def right_losses(of_set: SetRows) -> Mapping[Index, float]:
    """Losses of the truth ratio's right answer: the paraphrase, or the answer in a set without paraphrases."""
    columns = of_set.columns
    for loss, chance in (("paraphrase_loss", "paraphrase_probability"), ("loss", "probability")):
        if loss in columns:
            return cast("Mapping[Index, float]", columns[loss])
        if chance in columns:
            return {row: _minus_log(cast("float", value)) for row, value in columns[chance].items()}
    return {}


def wrong_losses(of_set: SetRows) -> Mapping[Index, tuple[float, ...]]:
    if "perturbed_losses" in of_set.columns:
        return cast("Mapping[Index, tuple[float, ...]]", of_set.columns["perturbed_losses"])
    chances = cast("Mapping[Index, tuple[float, ...]]", of_set.columns.get("perturbed_probabilities", {}))
    return {row: tuple(map(_minus_log, values)) for row, values in chances.items()}


def _minus_log(chance: float) -> float:
    return -math.log(chance) if chance > 0 else math.inf if chance == 0 else math.nan


def _as_matrix(rows: Sequence[tuple[float, ...]]) -> Floats:
    """(rows, k); if rows differ in length, their means (rows, 1), which suffice for a truth ratio."""
    if len({len(row) for row in rows}) > 1:
        return np.array([[sum(row) / len(row)] for row in rows], dtype=np.float64)
    return np.array(rows, dtype=np.float64)


def _rows(columns: Iterable[Mapping[Index, Any]], chosen: Sequence[Index] | None) -> tuple[Index, ...]:
    """The rows present in all columns: the chosen ones in order, or all."""
    first, *others = columns
    wanted = first if chosen is None else [row for row in chosen if row in first]
    return tuple(row for row in wanted if all(row in other for other in others))


# --- probabilities


def _losses(of_set: SetRows, chosen: Sequence[Index] | None) -> tuple[tuple[Index, ...], Floats]:
    """Rows and losses (rows,) of the answer; from the stored share in a multiple-choice set without wrong answers, from
    the attack by loss in members and holdout.
    """
    column: Mapping[Index, float]
    attacked = of_set.columns.get(f"{_ATTACK}loss")
    if attacked is not None and of_set.role in ("members", "holdout") and "loss" not in of_set.columns:
        column = cast("Mapping[Index, float]", attacked)
    elif of_set.multiple_choice:
        chances = cast("Mapping[Index, float]", of_set.columns.get("choice_probability", {}))
        column = {row: _minus_log(chance) for row, chance in chances.items()}
    else:
        column = answer_losses(of_set)
    rows = _rows((column,), chosen)
    return rows, np.array([column[row] for row in rows], dtype=np.float64)


def answer_losses(of_set: SetRows) -> Mapping[Index, float]:
    """The answers' losses; from their probabilities if any two differ, since probabilities are what is averaged."""
    losses = cast("Mapping[Index, float]", of_set.columns.get("loss", {}))
    chances = cast("Mapping[Index, float]", of_set.columns.get("probability", {}))
    if all(_agree(chance, losses.get(row)) for row, chance in chances.items()):
        return losses
    return {row: _minus_log(chance) if chance else losses.get(row, math.inf) for row, chance in chances.items()}


def _agree(chance: float, loss: float | None) -> bool:
    """NaN agrees with NaN, and a probability of 0 (underflow) with any loss."""
    if loss is None:
        return False
    return math.isnan(loss) == math.isnan(chance) and not abs(math.exp(-loss) - chance) > _SAME * chance > 0


def _choices(log: Log, of_set: SetRows, rows: tuple[Index, ...], perturbed: Floats) -> tuple[tuple[Index, ...], Floats]:
    """Rows, and losses that give the answer's share among all choices if the wrong answers have losses `perturbed`."""
    right, wrong = answer_losses(of_set), _wrong_choices(of_set)
    stored = cast("Mapping[Index, float]", of_set.columns.get("choice_probability", {}))
    if right and wrong:
        kept = tuple(row for row in rows if row in right and row in wrong)
        odds = [_log_odds(right[row], wrong[row], log.guard) for row in kept]
    else:
        kept = tuple(row for row in rows if row in stored)
        odds = [np.log1p(-stored[row]) - np.log(stored[row]) for row in kept]
    places = {row: place for place, row in enumerate(rows)}
    where = [places[row] for row in kept]
    return kept, np.array(odds, dtype=np.float64) - np.logaddexp.reduce(-perturbed[where], axis=1)


def _wrong_choices(of_set: SetRows) -> Mapping[Index, tuple[float, ...]]:
    """As `answer_losses`, for wrong answers."""
    losses = wrong_losses(of_set)
    chances = cast("Mapping[Index, tuple[float, ...]]", of_set.columns.get("perturbed_probabilities", {}))
    agree = all(
        len(values) == len(losses.get(row, ())) and all(map(_agree, values, losses[row]))
        for row, values in chances.items()
    )
    return losses if agree else {row: tuple(map(_minus_log, values)) for row, values in chances.items()}


def _log_odds(right: float, wrong: Sequence[float], guard: float) -> float:
    """log((wrong probabilities + guard) / right probability)."""
    others = np.logaddexp.reduce(-np.array([*wrong, -math.log(guard) if guard else math.inf]))
    return float(others + right)
