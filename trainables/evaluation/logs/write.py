"""Writes an evaluation in the format of open-unlearning's `TOFU_EVAL.json`.

Unlike open-unlearning's, the numbers have no guard in their denominators; the key `letheon` marks this and describes
the sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trainables.data.rows import EvalSet, Row
from trainables.evaluation.logs.names import AGGREGATES, MEMORISATION, keys_of, prefix_of
from trainables.evaluation.logs.open_unlearning import OWN_KEY
from trainables.evaluation.metrics.details import Details, SetDetails
from trainables.evaluation.metrics.summary import membership_sets, probabilities, summarise, truth_ratios

VERSION = 1

_FACTS = ("role", "multiple_choice", "rouge")
_ROUGE = {"rouge1_recall": "rouge_1_recall", "rougeL_f1": "rouge_l_f1", "rougeL_recall": "rouge_l_recall"}


def open_unlearning_log(
    details: Details,
    metrics: Mapping[str, float] | None = None,
    sets: Mapping[str, EvalSet] | None = None,
) -> dict[str, Any]:
    """The log as a JSON document (NaN as Python and open-unlearning write it).

    `metrics`: those of the evaluation, with comparisons (`summary.compare`); by default `summarise(details)`. `sets`:
    the evaluated rows, to include questions and answers.
    """
    found = {**summarise(details), **(metrics or {})}
    log: dict[str, Any] = {}
    for name, of_set in details.items():
        rows = sets[name].rows if sets is not None and name in sets else ()
        log |= {key: entry for key, entry in _entries(name, of_set, rows, found) if entry is not None}
    log |= _attacks(details, found)
    log |= {name: {"agg_value": found[name]} for name in AGGREGATES if name in found}
    facts = {name: {key: getattr(of_set, key) for key in _FACTS} for name, of_set in details.items()}
    own = {"version": VERSION, "sets": facts, "membership": _member_set(details), "metrics": found}
    return {**dict(sorted(log.items())), OWN_KEY: own}


def _entries(
    name: str, of_set: SetDetails, rows: Sequence[Row], found: Mapping[str, float]
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    prefix = prefix_of(name)
    yield f"{prefix}_Q_A_Prob", _losses(of_set.loss, of_set.tokens)
    yield f"{prefix}_Q_A_PARA_Prob", _losses(of_set.paraphrase_loss)
    yield f"{prefix}_Q_A_PERT_Prob", _losses(of_set.perturbed_losses)
    if of_set.multiple_choice and (chances := probabilities(of_set)) is not None:
        yield f"{prefix}_Q_A_Prob_normalised", _rows(chances.tolist(), "prob")
    yield f"{prefix}_Q_A_ROUGE", _rouge(of_set, rows, found.get(f"{name}_rouge"))
    if (ratios := truth_ratios(of_set)) is not None:
        key = keys_of(f"{name}_truth_ratio")[-1 if of_set.role == "forget" else 0]
        yield key, _rows(ratios.tolist(), "score", found.get(f"{name}_truth_ratio"))
    for metric in MEMORISATION:
        if (values := getattr(of_set, metric)) is not None:
            yield metric if name == "forget" else f"{prefix}_{metric}", _rows(values, "score")


def _rows(values: Sequence[float], key: str, aggregate: float | None = None) -> dict[str, Any]:
    rows = {str(row): {key: float(value)} for row, value in enumerate(values)}
    return {"agg_value": _mean(values) if aggregate is None else aggregate, "value_by_index": rows}


def _mean(values: Any) -> float:
    return float(np.mean(np.asarray(values, dtype=np.float64))) if len(values) else math.nan


def _losses(losses: Any, tokens: Sequence[int] | None = None) -> dict[str, Any] | None:
    """Entry for losses (rows,) of one answer per row, or (rows, k) of several."""
    if losses is None:
        return None
    values = np.asarray(losses, dtype=np.float64)
    chances = np.exp(-values)
    rows = {
        str(row): {"prob": chance, "avg_loss": loss}
        for row, (chance, loss) in enumerate(zip(chances.tolist(), values.tolist(), strict=True))
    }
    for row, count in enumerate(tokens or ()):
        rows[str(row)]["tokens"] = int(count)
    return {"agg_value": _mean(chances), "value_by_index": rows}


def _rouge(of_set: SetDetails, rows: Sequence[Row], aggregate: float | None) -> dict[str, Any] | None:
    scores = {key: values for key, name in _ROUGE.items() if (values := getattr(of_set, name)) is not None}
    if not scores or aggregate is None:
        return None
    lines: dict[str, dict[str, Any]] = {}
    for row in range(len(next(iter(scores.values())))):
        lines[str(row)] = {key: float(values[row]) for key, values in scores.items()}
        if row < len(rows):
            lines[str(row)] |= {"input": rows[row].question, "ground_truth": rows[row].answer}
        if of_set.generated is not None:
            lines[str(row)]["generation"] = of_set.generated[row]
    return {"agg_value": aggregate, "value_by_index": lines}


def _member_set(details: Details) -> str:
    return next((name for name, of_set in details.items() if of_set.role == "members"), "forget")


def _attacks(details: Details, found: Mapping[str, float]) -> dict[str, Any]:
    members, holdout = membership_sets(details)
    if members is None or holdout is None:
        return {}
    entries = {}
    for attack, scores in members.attacks.items():
        auc = found.get(f"mia_{attack}")
        if attack in holdout.attacks and auc is not None:
            sides = {"forget": _rows(scores, "score"), "holdout": _rows(holdout.attacks[attack], "score")}
            entries[f"mia_{attack}"] = {**sides, "auc": auc, "agg_value": auc}
    return entries
