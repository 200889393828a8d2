"""Two logs side by side: the metrics of each, what they say together, and why a metric is not there.

The numbers come from `summary`, as those of a live evaluation do. Aggregates that a log stores are shown beside; they
stand in only where no rows are there and a number of several aggregates can still be had.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from trainables.evaluation.logs.adapt import Adapted, adapt, wrongs
from trainables.evaluation.logs.check import settle
from trainables.evaluation.logs.log import LEGACY, OPEN_UNLEARNING, Log, LogError, SetRows
from trainables.evaluation.logs.missing import absent_of_both, absent_of_one, has_nine_parts
from trainables.evaluation.logs.names import COMPARISON, TOFU_METRICS, UTILITY_PARTS, keys_of, prefix_of
from trainables.evaluation.logs.open_unlearning import is_muse
from trainables.evaluation.logs.pair import Pairs, pair_forget_rows
from trainables.evaluation.metrics.details import Details
from trainables.evaluation.metrics.membership import privleak
from trainables.evaluation.metrics.summary import compare, summarise, retain_reference
from trainables.evaluation.metrics.tofu import harmonic_mean

SAME = 1e-6
"""Relative: a stored aggregate further off than this is shown as different."""


def compare_logs(retain: Log, unlearned: Log) -> dict[str, Any]:
    """The report of `letheon compare-logs --json`; its shape is in docs/evaluation-logs.md.

    Raises LogError if the logs are of different forget rows or hold values that no evaluation gives.
    """
    retain, unlearned = settle(retain), settle(unlearned)
    try:
        with np.errstate(all="ignore"):
            return _report(retain, unlearned)
    except ValueError as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"{retain.file} and {unlearned.file}: {error}") from None


def _report(retain: Log, unlearned: Log) -> dict[str, Any]:
    whole = adapt(retain), adapt(unlearned)
    sides = _side(retain, whole[0]), _side(unlearned, whole[1])
    pairs = pair_forget_rows(retain, unlearned, (_forget_rows(whole[0]), _forget_rows(whole[1])))
    together, notes = _together(retain, unlearned, whole, pairs)
    together |= _leak_of_aggregates(together, *sides, notes)
    if {retain.format, unlearned.format} == {OPEN_UNLEARNING, LEGACY}:
        notes.append("the two formats differ in prompts and lengths: not every difference is the models'")
    return {
        "retain": sides[0],
        "unlearned": sides[1],
        "comparison": together,
        "stored": {name: value for name in COMPARISON if (value := unlearned.stored.get(name)) is not None},
        "absent": absent_of_both(retain, unlearned, together),
        "notes": notes,
    }


# --- one log


def _side(log: Log, adapted: Adapted) -> dict[str, Any]:
    notes = list(log.notes)
    found = summarise(adapted.details)
    stored = _stored(log, found)
    if not log.own and not has_nine_parts(found):
        found.pop("model_utility", None)
        found |= _utility_of_aggregates(found, stored, notes)
    found |= extras(log)
    return {
        "file": log.file,
        "format": log.format,
        "rows": {name: of_set.rows for name, of_set in log.sets.items()},
        "metrics": found,
        "stored": stored,
        "differs": [name for name, value in found.items() if name in stored and not _same(value, stored[name])],
        "absent": absent_of_one(log, found, stored),
        "notes": notes,
    }


def _stored(log: Log, found: Mapping[str, float]) -> dict[str, float]:
    """Aggregates by our names; those that we have no name for by their own."""
    ours = {key: name for name in (*TOFU_METRICS, *found) for key in _keys(log, name)}
    values = {ours.get(key, key): value for key, value in log.stored.items() if value is not None}
    return {name: value for name, value in values.items() if name not in COMPARISON or name == "mia_reference"}


def _keys(log: Log, name: str) -> tuple[str, ...]:
    of_set = log.sets.get(name.removesuffix("_probability"))
    choice = of_set.multiple_choice if of_set else name.startswith(("real_authors", "world_facts"))
    return keys_of(name, choice, is_muse(log))


def _utility_of_aggregates(found: Mapping[str, float], stored: Mapping[str, float], notes: list[str]) -> dict[str, Any]:
    """Model utility when some of its nine parts are there as aggregates only."""
    parts = {name: found.get(name, stored.get(name)) for name in UTILITY_PARTS}
    values = [value for value in parts.values() if value is not None and value >= 0]
    if len(values) < len(parts):
        return {}
    notes.append(
        f"model_utility is of stored aggregates in part: {', '.join(name for name in parts if name not in found)}"
    )
    return {"model_utility": harmonic_mean(values)}


def _same(value: float, stored: float) -> bool:
    if math.isnan(value) or math.isnan(stored):
        return math.isnan(value) and math.isnan(stored)
    return math.isclose(value, stored, rel_tol=SAME, abs_tol=1e-300)


# --- both


def _forget_rows(adapted: Adapted) -> tuple[Any, ...]:
    rows = adapted.rows.get("forget", {})
    return tuple(dict.fromkeys((*rows.get("ratio", ()), *rows.get("loss", ()))))


def _together(
    retain: Log, unlearned: Log, whole: tuple[Adapted, Adapted], pairs: Pairs
) -> tuple[dict[str, Any], list[str]]:
    chosen: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for kind in ("ratio", "loss"):
        first, second = (adapted.rows.get("forget", {}).get(kind, ()) for adapted in whole)
        chosen[0][kind], chosen[1][kind] = pairs.of(first, second)
    base, ours = adapt(retain, chosen[0]).details, adapt(unlearned, chosen[1]).details
    if not _same_others(whole):
        base, ours = _without_holdout_losses(base), _without_holdout_losses(ours)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = compare(ours, retain_reference(base))
    together: dict[str, Any] = {name: found[name] for name in COMPARISON if name in found and name != "mia_reference"}
    if _is_attacked(ours) and _is_attacked(base):
        together["mia_reference"] = found["mia_reference"]
    rows = len(chosen[0]["ratio"]) or len(chosen[0]["loss"])
    notes = [pairs.note] if pairs.note else []
    if pairs.note and "privleak" in together:
        notes.append("privleak is of all rows of each log")
    if any("asymp" in str(warning.message) for warning in warned):
        notes.append("an exact p-value of the Kolmogorov-Smirnov test could not be had: it is asymptotic")
    return ({"rows": rows} if rows else {}) | together, notes


def _is_attacked(details: Details) -> bool:
    """Whether the reference attack has the losses it needs; elsewhere `mia_reference` is of stored scores."""
    members = next((each for each in details.values() if each.role == "members"), details.get("forget"))
    holdout = next((each for each in details.values() if each.role == "holdout"), None)
    return all(each is not None and each.loss is not None for each in (members, holdout))


def _same_others(whole: tuple[Adapted, Adapted]) -> bool:
    """Whether the rows that nobody was trained on, and named members, are the same in both."""
    first, second = (
        {
            name: adapted.rows[name]["loss"]
            for name, each in adapted.details.items()
            if each.role in ("members", "holdout")
        }
        for adapted in whole
    )
    return first == second


def _without_holdout_losses(details: Details) -> Details:
    return {
        name: replace(of_set, loss=None) if of_set.role in ("members", "holdout") else of_set
        for name, of_set in details.items()
    }


def _leak_of_aggregates(
    together: Mapping[str, Any], retain: Mapping[str, Any], unlearned: Mapping[str, Any], notes: list[str]
) -> dict[str, float]:
    """PrivLeak from stored AUCs, if a log lacks the scores."""
    if "privleak" in together:
        return {}
    theirs, ours = (side["metrics"].get("mia_min_k", side["stored"].get("mia_min_k")) for side in (retain, unlearned))
    if theirs is None or ours is None:
        return {}
    notes.append("privleak is of stored AUCs")
    leak = privleak(ours, theirs)
    return {"privleak": leak, "privleak_distance": abs(leak)}


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
