"""Compares two logs: the metrics of each, those that need both, and why a metric is absent.

As in a live evaluation, the numbers are computed by `summary` from rows. A log's stored aggregates are reported next to
them, and used only for a metric that cannot be computed from rows but can be from several aggregates.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from trainables.evaluation.logs.adapt import Adapted, adapt, wrong_losses
from trainables.evaluation.logs.check import checked, close
from trainables.evaluation.logs.log import LEGACY, OPEN_UNLEARNING, Index, Log, LogError, SetRows
from trainables.evaluation.logs.missing import absent_comparisons, absent_metrics
from trainables.evaluation.logs.names import COMPARISON, TOFU_METRICS, UTILITY_PARTS, keys_of, prefix_of
from trainables.evaluation.logs.open_unlearning import is_muse
from trainables.evaluation.logs.pair import Pairs, pair_forget_rows
from trainables.evaluation.metrics.details import Details
from trainables.evaluation.metrics.membership import privleak
from trainables.evaluation.metrics.summary import compare, membership_sets, retain_reference, summarise
from trainables.evaluation.metrics.tofu import harmonic_mean

SAME = 1e-6
"""Relative difference beyond which a stored aggregate is reported as different."""


def compare_logs(retain: Log, unlearned: Log) -> dict[str, Any]:
    """The report of `letheon compare-logs --json`; docs/evaluation-logs.md describes it.

    Raises LogError if the logs have different forget rows or values that no evaluation gives.
    """
    retain, unlearned = checked(retain), checked(unlearned)
    try:
        with np.errstate(all="ignore"):
            return _report(retain, unlearned)
    except ValueError as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"{retain.file} and {unlearned.file}: {error}") from None


def _report(retain: Log, unlearned: Log) -> dict[str, Any]:
    whole = adapt(retain), adapt(unlearned)
    sides = _log_report(retain, whole[0]), _log_report(unlearned, whole[1])
    pairs = pair_forget_rows(retain, unlearned, (_forget_rows(whole[0]), _forget_rows(whole[1])))
    comparison, notes = _comparison(retain, unlearned, whole, pairs)
    comparison |= _privleak_from_aucs(comparison, *sides, notes)
    if {retain.format, unlearned.format} == {OPEN_UNLEARNING, LEGACY}:
        notes.append("the two formats differ in prompts and lengths, so not every difference is due to the models")
    return {
        "retain": sides[0],
        "unlearned": sides[1],
        "comparison": comparison,
        "stored": {name: value for name in COMPARISON if (value := unlearned.stored.get(name)) is not None},
        "absent": absent_comparisons(retain, unlearned, comparison),
        "notes": notes,
    }


# --- one log


def _log_report(log: Log, adapted: Adapted) -> dict[str, Any]:
    notes = list(log.notes)
    found = summarise(adapted.details)
    stored = _stored(log, found)
    if not log.own and not found.keys() >= {*UTILITY_PARTS}:
        found.pop("model_utility", None)
        found |= _utility_from_aggregates(found, stored, notes)
    found |= _extra_aggregates(log)
    return {
        "file": log.file,
        "format": log.format,
        "rows": {name: of_set.rows for name, of_set in log.sets.items()},
        "metrics": found,
        "stored": stored,
        "differs": [name for name, value in found.items() if name in stored and not close(value, stored[name], SAME)],
        "absent": absent_metrics(log, found, stored),
        "notes": notes,
    }


def _stored(log: Log, found: Mapping[str, float]) -> dict[str, float]:
    """Stored aggregates by our names, or by the log's if we have none."""
    ours = {key: name for name in (*TOFU_METRICS, *found) for key in _keys(log, name)}
    values = {ours.get(key, key): value for key, value in log.stored.items() if value is not None}
    return {name: value for name, value in values.items() if name not in COMPARISON or name == "mia_reference"}


def _keys(log: Log, name: str) -> tuple[str, ...]:
    of_set = log.sets.get(name.removesuffix("_probability"))
    choice = of_set.multiple_choice if of_set else name.startswith(("real_authors", "world_facts"))
    return keys_of(name, choice, is_muse(log))


def _utility_from_aggregates(
    found: Mapping[str, float], stored: Mapping[str, float], notes: list[str]
) -> dict[str, Any]:
    """Model utility if some of its nine parts are present only as aggregates."""
    parts = {name: found.get(name, stored.get(name)) for name in UTILITY_PARTS}
    values = [value for value in parts.values() if value is not None and value >= 0]
    if len(values) < len(parts):
        return {}
    notes.append(f"model_utility uses stored aggregates: {', '.join(name for name in parts if name not in found)}")
    return {"model_utility": harmonic_mean(values)}


# --- both logs


def _forget_rows(adapted: Adapted) -> tuple[Any, ...]:
    rows = adapted.rows.get("forget", {})
    return tuple(dict.fromkeys((*rows.get("ratio", ()), *rows.get("loss", ()))))


def _comparison(
    retain: Log, unlearned: Log, whole: tuple[Adapted, Adapted], pairs: Pairs
) -> tuple[dict[str, Any], list[str]]:
    chosen: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for kind in ("ratio", "loss"):
        first, second = (adapted.rows.get("forget", {}).get(kind, ()) for adapted in whole)
        chosen[0][kind], chosen[1][kind] = pairs.within(first, second)
    base, ours = adapt(retain, chosen[0]).details, adapt(unlearned, chosen[1]).details
    if _membership_rows(whole[0]) != _membership_rows(whole[1]):
        base, ours = _without_membership_losses(base), _without_membership_losses(ours)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = compare(ours, retain_reference(base))
    comparison: dict[str, Any] = {name: found[name] for name in COMPARISON if name in found and name != "mia_reference"}
    if _has_membership_losses(ours) and _has_membership_losses(base):
        comparison["mia_reference"] = found["mia_reference"]
    rows = len(chosen[0]["ratio"]) or len(chosen[0]["loss"])
    notes = [pairs.note] if pairs.note else []
    if pairs.note and "privleak" in comparison:
        notes.append("privleak uses all rows of each log")
    if any("asymp" in str(warning.message) for warning in warned):
        notes.append("the p-value of the Kolmogorov-Smirnov test is asymptotic: an exact one could not be computed")
    return ({"rows": rows} if rows else {}) | comparison, notes


def _has_membership_losses(details: Details) -> bool:
    """Whether `mia_reference` is computed from losses; else it comes from stored scores."""
    return all(each is not None and each.loss is not None for each in membership_sets(details))


def _membership_rows(adapted: Adapted) -> dict[str, tuple[Index, ...]]:
    roles = {name: of_set.role for name, of_set in adapted.details.items()}
    return {name: adapted.rows[name]["loss"] for name, role in roles.items() if role in ("members", "holdout")}


def _without_membership_losses(details: Details) -> Details:
    return {
        name: replace(of_set, loss=None) if of_set.role in ("members", "holdout") else of_set
        for name, of_set in details.items()
    }


def _privleak_from_aucs(
    comparison: Mapping[str, Any], retain: Mapping[str, Any], unlearned: Mapping[str, Any], notes: list[str]
) -> dict[str, float]:
    """PrivLeak from stored AUCs, if a log lacks the scores."""
    if "privleak" in comparison:
        return {}
    theirs, ours = (side["metrics"].get("mia_min_k", side["stored"].get("mia_min_k")) for side in (retain, unlearned))
    if theirs is None or ours is None:
        return {}
    notes.append("privleak uses stored AUCs")
    leak = privleak(ours, theirs)
    return {"privleak": leak, "privleak_distance": abs(leak)}


def _extra_aggregates(log: Log) -> dict[str, float]:
    """By open-unlearning's keys: `<prefix>_Q_A_PARA_Prob`, `<prefix>_Q_A_PERT_Prob`; `<prefix>_Q_A_Prob` of choices."""
    return {key: value for name, of_set in log.sets.items() for key, value in _set_extras(prefix_of(name), of_set)}


def _set_extras(prefix: str, of_set: SetRows) -> Iterator[tuple[str, float]]:
    if paraphrase := _probabilities(of_set, "paraphrase_probability", "paraphrase_loss"):
        yield f"{prefix}_Q_A_PARA_Prob", float(np.mean(paraphrase))
    if of_set.multiple_choice and (answer := _probabilities(of_set, "probability", "loss")):
        yield f"{prefix}_Q_A_Prob", float(np.mean(answer))
    stored = cast("Mapping[object, tuple[float, ...]]", of_set.columns.get("perturbed_probabilities", {}))
    wrong = list(stored.values()) or [np.exp(-np.array(row)) for row in wrong_losses(of_set).values()]
    if wrong:
        yield f"{prefix}_Q_A_PERT_Prob", float(np.mean([np.mean(row) for row in wrong]))


def _probabilities(of_set: SetRows, probability: str, loss: str) -> Sequence[float]:
    stored = cast("Mapping[object, float]", of_set.columns.get(probability, {}))
    losses = cast("Mapping[object, float]", of_set.columns.get(loss, {}))
    return [float(value) for value in stored.values()] or [float(np.exp(-value)) for value in losses.values()]
