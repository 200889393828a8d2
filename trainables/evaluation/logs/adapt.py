"""From the columns of a log to `Details`, so that one code computes the metrics of logs and of live evaluations.

A format's definitions may add a small guard to denominators, and may store truth ratios or shares without the losses
behind them. Both are folded into losses that give exactly those values: a paraphrase's loss carries the guard of the
truth ratio, a choice's loss its share among the choices. So the losses of a multiple-choice set are not the model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from trainables.evaluation.logs.log import Index, Log, LogError, SetRows
from trainables.evaluation.metrics.details import Details, SetDetails
from trainables.evaluation.metrics.tofu import Floats

_ATTACK = "attack:"
_ATTACKED = "attack:loss"
_PLAIN = ("rouge_1_recall", "rouge_l_recall", "rouge_l_f1", "extraction_strength", "exact_memorization")
_SAME = 1e-5  # relative: more than float32 loses


@dataclass(frozen=True)
class Adapted:
    """`details` of a log. `rows`: of each set, in the order of its rows, the indices of `loss` and of `ratio`."""

    details: Details
    rows: Mapping[str, Mapping[str, tuple[Index, ...]]]


def adapt(log: Log, forget: Mapping[str, Sequence[Index]] | None = None) -> Adapted:
    """`forget`: which rows of the forget set, by `loss` and `ratio` and in this order; all if None.

    Raises LogError if truth ratios need rows that no two columns share.
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
    choosing = of_set.multiple_choice and bool(ratio_rows)
    if choosing:
        loss_rows, loss = _choices(log, of_set, ratio_rows, perturbed)
        if not loss_rows:
            choosing = False
    else:
        loss_rows, loss = _losses(of_set, chosen.get("loss"))
    if choosing and loss_rows != ratio_rows:  # a share without all of its ratios: the ratios give way
        places = {row: place for place, row in enumerate(ratio_rows)}
        kept = [places[row] for row in loss_rows]
        paraphrase, perturbed, ratio_rows = paraphrase[kept], perturbed[kept], loss_rows
    plain = {column: _floats(of_set.columns[column]) for column in _PLAIN if column in of_set.columns}
    details = SetDetails(
        role=of_set.role,
        multiple_choice=choosing,
        rouge=of_set.rouge,
        loss=loss.tolist() if loss_rows else None,
        paraphrase_loss=paraphrase.tolist() if ratio_rows else None,
        perturbed_losses=perturbed.tolist() if ratio_rows else None,
        generated=_generated(of_set, loss_rows),
        attacks={key.removeprefix(_ATTACK): _floats(rows) for key, rows in of_set.columns.items() if _is_attack(key)},
        **cast("dict[str, Any]", plain),
    )
    return details, {"loss": loss_rows, "ratio": ratio_rows}


def _is_attack(column: str) -> bool:
    return column.startswith(_ATTACK)


def _floats(column: Mapping[Index, Any]) -> tuple[float, ...]:
    return tuple(column.values())


def _generated(of_set: SetRows, loss_rows: tuple[Index, ...]) -> tuple[str, ...] | None:
    """Texts of the rows that have a loss, or of all if no row has one; None if some lack a text."""
    texts = of_set.columns.get("generated", {})
    rows = loss_rows or tuple(texts)
    return tuple(str(texts[row]) for row in rows) if rows and all(row in texts for row in rows) else None


# --- what truth ratios are of


def _ratios(
    log: Log, name: str, of_set: SetRows, chosen: Sequence[Index] | None
) -> tuple[tuple[Index, ...], Floats, Floats]:
    """Rows, losses (rows,) of the right answer with the guard in them, and losses (rows, k) of the wrong ones."""
    right, wrong = paraphrases(of_set), wrongs(of_set)
    if right and wrong:
        rows = _rows((right, wrong), chosen)
        if not rows and chosen is None:
            raise LogError(
                f"{log.file}: right and wrong answers of the {name} set share no row index; take both from one run"
            )
        losses = np.array([right[row] for row in rows], dtype=np.float64)
        return rows, _guarded(losses, log.guard), _rectangle([wrong[row] for row in rows])
    stored: Mapping[Index, Any] = of_set.columns.get("truth_ratio", {})
    rows = _rows((stored,), chosen)
    return rows, np.log(np.array([stored[row] for row in rows], dtype=np.float64)), np.zeros((len(rows), 1))


def paraphrases(of_set: SetRows) -> Mapping[Index, float]:
    """Loss of what the truth ratio holds right: the paraphrase, in a set without one the answer."""
    columns = of_set.columns
    for loss, chance in (("paraphrase_loss", "paraphrase_probability"), ("loss", "probability")):
        if loss in columns:
            return cast("Mapping[Index, float]", columns[loss])
        if chance in columns:
            return {row: _minus_log(cast("float", value)) for row, value in columns[chance].items()}
    return {}


def wrongs(of_set: SetRows) -> Mapping[Index, tuple[float, ...]]:
    """Losses of the wrong answers."""
    if "perturbed_losses" in of_set.columns:
        return cast("Mapping[Index, tuple[float, ...]]", of_set.columns["perturbed_losses"])
    chances = cast("Mapping[Index, tuple[float, ...]]", of_set.columns.get("perturbed_probabilities", {}))
    return {row: tuple(map(_minus_log, values)) for row, values in chances.items()}


def _minus_log(chance: float) -> float:
    return -math.log(chance) if chance > 0 else math.inf if chance == 0 else math.nan


def _guarded(losses: Floats, guard: float) -> Floats:
    """Losses whose probabilities are larger by `guard`."""
    return -np.logaddexp(-losses, math.log(guard)) if guard else losses


def _rectangle(rows: Sequence[tuple[float, ...]]) -> Floats:
    """(rows, k); where rows have unlike numbers of wrong answers (rows, 1), their means, which is all a ratio needs."""
    if len({len(row) for row in rows}) > 1:
        return np.array([[sum(row) / len(row)] for row in rows], dtype=np.float64)
    return np.array(rows, dtype=np.float64)


def _rows(columns: Iterable[Mapping[Index, Any]], chosen: Sequence[Index] | None) -> tuple[Index, ...]:
    """Rows that all columns have: the chosen ones in their order, or all."""
    first, *others = columns
    wanted = first if chosen is None else [row for row in chosen if row in first]
    return tuple(row for row in wanted if all(row in other for other in others))


# --- what probabilities are of


def _losses(of_set: SetRows, chosen: Sequence[Index] | None) -> tuple[tuple[Index, ...], Floats]:
    """Rows and losses (rows,) of the answer. In a multiple-choice set without wrong answers, of the stored share; of
    members and holdout those that the attack by loss looked at.
    """
    column: Mapping[Index, float]
    if _ATTACKED in of_set.columns and of_set.role in ("members", "holdout") and "loss" not in of_set.columns:
        column = cast("Mapping[Index, float]", of_set.columns[_ATTACKED])
    elif of_set.multiple_choice:
        chances = cast("Mapping[Index, float]", of_set.columns.get("choice_probability", {}))
        column = {row: _minus_log(chance) for row, chance in chances.items()}
    else:
        column = answer_losses(of_set)
    rows = _rows((column,), chosen)
    return rows, np.array([column[row] for row in rows], dtype=np.float64)


def answer_losses(of_set: SetRows) -> Mapping[Index, float]:
    """The answer's loss; from its probability where the two differ, since the probability is what is averaged."""
    losses = cast("Mapping[Index, float]", of_set.columns.get("loss", {}))
    chances = cast("Mapping[Index, float]", of_set.columns.get("probability", {}))
    if all(_agree(chance, losses.get(row)) for row, chance in chances.items()):
        return losses
    return {row: _minus_log(chance) if chance else losses.get(row, math.inf) for row, chance in chances.items()}


def _agree(chance: float, loss: float | None) -> bool:
    """NaN agrees with NaN, and a probability of 0 with any loss: it is too small for its type."""
    if loss is None:
        return False
    return math.isnan(loss) == math.isnan(chance) and not abs(math.exp(-loss) - chance) > _SAME * chance > 0


def _choices(log: Log, of_set: SetRows, rows: tuple[Index, ...], perturbed: Floats) -> tuple[tuple[Index, ...], Floats]:
    """Losses that give the answer's share of answer and wrong answers, when the wrong ones have `perturbed`."""
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
    """As `answer_losses`."""
    losses = wrongs(of_set)
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
