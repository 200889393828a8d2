"""Reads open-unlearning's evaluation files: `{metric: {"agg_value": …, "value_by_index": {row: {…}}}}` and summaries.

Its keys (`<prefix>_Q_A_Prob`, `mia_<attack>`, …) are from its `src/evals` and `configs/eval`. Other keys are kept as
stored aggregates; a summary (`{metric: number}`) has only these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from trainables.data.rows import Role
from trainables.evaluation.logs import values
from trainables.evaluation.logs.log import OPEN_UNLEARNING, Column, Log, LogError, SetRows, Value
from trainables.evaluation.logs.names import AGGREGATES, ATTACKS, MEMORISATION, set_of

GUARD = 1e-10
"""open-unlearning adds it to the denominators of truth ratios and choices, in every published number."""

OWN_KEY = "letheon"
"""The key with which letheon's own logs describe their sets; their numbers have no guard."""

_MULTIPLE_CHOICE = ("real_authors", "world_facts")
_AGGREGATE, _ROWS = "agg_value", "value_by_index"


class _Field(NamedTuple):
    """Where a row has a column's value: under one of `keys`, or as the row itself if `bare`."""

    column: str
    keys: tuple[str, ...]
    read: Callable[[Any, str], Value | None]
    bare: bool = False


_SCORE = ("score", "value")
_KINDS: dict[str, tuple[_Field, ...]] = {
    "prob": (
        _Field("loss", ("avg_loss",), values.loss),
        _Field("probability", ("prob",), values.share, bare=True),
        _Field("tokens", ("tokens",), values.loss),
    ),
    "para_prob": (
        _Field("paraphrase_loss", ("avg_loss",), values.loss),
        _Field("paraphrase_probability", ("prob",), values.share, bare=True),
    ),
    "pert_prob": (
        _Field("perturbed_losses", ("avg_loss",), values.losses),
        _Field("perturbed_probabilities", ("prob",), values.shares, bare=True),
    ),
    "prob_normalised": (_Field("choice_probability", ("prob", *_SCORE), values.share, bare=True),),
    "rouge": (
        _Field("rouge_l_recall", ("rougeL_recall",), values.share, bare=True),
        _Field("rouge_l_f1", ("rougeL_f1",), values.share),
        _Field("rouge_1_recall", ("rouge1_recall",), values.share),
        _Field("question", ("input",), values.text),
        _Field("answer", ("ground_truth",), values.text),
        _Field("generated", ("generation",), values.text),
    ),
    "truth_ratio": (_Field("truth_ratio", _SCORE, values.loss, bare=True),),
    **{name: (_Field(name, _SCORE, values.share, bare=True),) for name in MEMORISATION},
}
_QUESTIONS = re.compile(
    r"(?P<set>[\w.-]{1,60}?)_Q_A_(?P<kind>PARA_Prob|PERT_Prob|Prob_normalised|Prob|ROUGE)", re.IGNORECASE
)
_TRUTH = re.compile(r"(?P<set>[\w.-]{1,60})_(?P<kind>truth_ratio)", re.IGNORECASE)
_MEMORY = re.compile(r"(?:(?P<set>[\w.-]{1,60})_)?(?P<kind>extraction_strength|exact_memorization)", re.IGNORECASE)
_MUSE = re.compile(r"(?P<set>forget|retain)_(?P<what>verbmem|knowmem)_ROUGE", re.IGNORECASE)
_ATTACK = re.compile(r"mia_(?P<attack>.+)", re.IGNORECASE)
_ATTACK_NAMES = {"min_k++": "min_k_plus_plus", "ref": "reference"} | {name: name for name in ATTACKS}
_NAME = re.compile(r"[\w .+/-]{1,80}")


def is_open_unlearning(content: Mapping[str, Any]) -> bool:
    """Whether any key is an open-unlearning metric."""
    return any(_metric_of(str(key)) is not None or key in AGGREGATES for key in content)


def read_open_unlearning(content: Mapping[str, Any], file: str) -> Log:
    """Raises LogError for a known key with values of the wrong kind."""
    own = content.get(OWN_KEY)
    sets: dict[str, SetRows] = {}
    members = _members(content)
    for key, entry in content.items():
        if (metric := _metric_of(str(key))) is not None:
            _read_metric(sets, metric, entry, f"{file}: {key}", members)
    rows = any(of_set.columns for of_set in sets.values())
    if isinstance(own, Mapping):
        _describe(sets, own.get("sets"))
    return Log(
        file=file,
        format=OPEN_UNLEARNING if rows else f"{OPEN_UNLEARNING} summary",
        sets={name: of_set for name, of_set in sets.items() if of_set.columns},
        stored=_stored(content),
        guard=0.0 if isinstance(own, Mapping) else GUARD,
        own=isinstance(own, Mapping),
    )


def _members(content: Mapping[str, Any]) -> str:
    """The set with the attacks' member rows; in MUSE it differs from the forget set."""
    own = content.get(OWN_KEY)
    if isinstance(own, Mapping) and isinstance(own.get("membership"), str):
        return str(own["membership"])
    return "members" if any(_MUSE.fullmatch(str(key)) for key in content) else "forget"


def _stored(content: Mapping[str, Any]) -> dict[str, float | None]:
    """Aggregates by key, without keys that cannot be metric names."""
    found: dict[str, float | None] = {}
    for key, entry in content.items():
        if not _NAME.fullmatch(str(key)):
            continue
        if isinstance(entry, Mapping):
            if _AGGREGATE in entry:
                found[str(key)] = values.number(entry[_AGGREGATE])
        elif (plain := values.number(entry)) is not None:
            found[str(key)] = plain
    return found


def _metric_of(key: str) -> tuple[str, str] | None:
    """(set, kind) of a key; (attack, "attack") for an attack."""
    if found := _QUESTIONS.fullmatch(key) or _TRUTH.fullmatch(key) or _MEMORY.fullmatch(key):
        return set_of(found["set"] or "forget"), found["kind"].lower()
    if found := _MUSE.fullmatch(key):
        knowledge = found["what"].lower() == "knowmem" and found["set"].lower() == "forget"
        return ("forget_knowledge" if knowledge else found["set"].lower()), "muse_rouge"
    if (found := _ATTACK.fullmatch(key)) and found["attack"].lower() in _ATTACK_NAMES:
        return _ATTACK_NAMES[found["attack"].lower()], "attack"
    return None


def _read_metric(sets: dict[str, SetRows], metric: tuple[str, str], entry: object, where: str, members: str) -> None:
    name, kind = metric
    if kind == "attack":
        for side, rows in _sides(entry, where):
            of_set = _set(sets, members if side == "forget" else "holdout")
            _fill(of_set, (_Field(f"attack:{name}", _SCORE, values.score, bare=True),), rows, where)
        return
    of_set = _set(sets, name)
    if kind == "muse_rouge":
        of_set.rouge, kind = "f1", "rouge"
    if kind == "prob_normalised":
        of_set.multiple_choice = True
    whole = _rows(entry, where)
    if whole is not None:
        _fill(of_set, _KINDS[kind], whole, where)


def _sides(entry: object, where: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    if isinstance(entry, Mapping):
        for side in ("forget", "holdout"):
            if side in entry and (rows := _rows(entry[side], f"{where}, {side}")) is not None:
                yield side, rows
    elif not _is_number(entry):
        raise LogError(f"{where}: must have the scores of forget and holdout rows; take the file as it was written")


def _rows(entry: object, where: str) -> Mapping[Any, Any] | None:
    """The rows of a metric; None if it has only an aggregate."""
    if isinstance(entry, Mapping):
        if entry.get(_ROWS) is not None:
            return values.rows_of(entry[_ROWS], where)
        if _AGGREGATE in entry or not values.is_rows(entry):
            return None
    elif _is_number(entry):
        return None
    return values.rows_of(entry, where)


def _is_number(entry: object) -> bool:
    return entry is None or (values.number(entry) is not None)


def _fill(of_set: SetRows, fields: tuple[_Field, ...], rows: Mapping[Any, Any], where: str) -> None:
    for wanted in fields:
        there = _cells(wanted, rows)
        found = values.column(there, wanted.read, f"{where}, {wanted.keys[0]}")
        if found:
            of_set.columns[wanted.column] = found
            of_set.notes += values.missing(where.rpartition(": ")[2], wanted.keys[0], len(there) - len(found))


def _cells(wanted: _Field, rows: Mapping[Any, Any]) -> Column:
    found: dict[Any, Any] = {}
    for index, row in rows.items():
        if isinstance(row, Mapping):
            found[index] = next((row[key] for key in wanted.keys if key in row), None)
        elif wanted.bare:
            found[index] = row
    return found


def _set(sets: dict[str, SetRows], name: str) -> SetRows:
    if name not in sets:
        roles: dict[str, Role] = {"members": "members", "holdout": "holdout"}
        role = roles.get(name, "forget" if name.startswith("forget") else "utility")
        sets[name] = SetRows(role=role, multiple_choice=name in _MULTIPLE_CHOICE)
    return sets[name]


def _describe(sets: Mapping[str, SetRows], own: object) -> None:
    """Apply the description of the sets in letheon's own log."""
    for name, facts in own.items() if isinstance(own, Mapping) else ():
        if name not in sets or not isinstance(facts, Mapping):
            continue
        if facts.get("role") in get_args(Role):
            sets[name].role = facts["role"]
        if isinstance(facts.get("multiple_choice"), bool):
            sets[name].multiple_choice = facts["multiple_choice"]
        if facts.get("rouge") in ("recall", "f1"):
            sets[name].rouge = facts["rouge"]


def is_muse(log: Log) -> bool:
    """Whether the log has a metric that only MUSE has."""
    return "forget_knowledge" in log.sets or any(_MUSE.fullmatch(key) for key in log.stored)
