"""Aggregates of open-unlearning that none of our metrics is: probabilities of paraphrased, wrong and plain answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from trainables.evaluation.logs.adapt import wrongs
from trainables.evaluation.logs.log import Log, SetRows
from trainables.evaluation.logs.names import prefix_of


def extras(log: Log) -> dict[str, float]:
    """By open-unlearning's keys: `<prefix>_Q_A_PARA_Prob`, `<prefix>_Q_A_PERT_Prob`; `<prefix>_Q_A_Prob` of choices."""
    return {key: value for name, of_set in log.sets.items() for key, value in _extras(prefix_of(name), of_set)}


def _extras(prefix: str, of_set: SetRows) -> Iterator[tuple[str, float]]:
    chances = _chances(of_set, "paraphrase_probability", "paraphrase_loss")
    if chances:
        yield f"{prefix}_Q_A_PARA_Prob", float(np.mean(chances))
    if of_set.multiple_choice and (chances := _chances(of_set, "probability", "loss")):
        yield f"{prefix}_Q_A_Prob", float(np.mean(chances))
    if wrong := _wrong(of_set):
        yield f"{prefix}_Q_A_PERT_Prob", float(np.mean([np.mean(row) for row in wrong]))


def _chances(of_set: SetRows, chance: str, loss: str) -> Sequence[float]:
    stored = cast("Mapping[object, float]", of_set.columns.get(chance, {}))
    losses = cast("Mapping[object, float]", of_set.columns.get(loss, {}))
    return [float(value) for value in stored.values()] or [float(np.exp(-value)) for value in losses.values()]


def _wrong(of_set: SetRows) -> Sequence[Sequence[float]]:
    stored = cast("Mapping[object, tuple[float, ...]]", of_set.columns.get("perturbed_probabilities", {}))
    return list(stored.values()) or [np.exp(-np.array(row)).tolist() for row in wrongs(of_set).values()]
