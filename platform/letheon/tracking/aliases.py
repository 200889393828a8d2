"""Decides whether an alias of a registered model moves when another sweep of the same study registers its front.

People pull by aliases such as `knee-20`. An alias never moves to a worse checkpoint, nor to one with other rows to
forget; a sweep may always move its own. Moves and refusals that concern another sweep are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Tags = Mapping[str, str]
Move = Literal["set", "moved", "worse", "other data"]

FORGET_DIGEST = "letheon.forget_digest"
VERDICT = "letheon.verdict"


def alias_move(rule: str, old: Tags | None, new: Tags) -> Move:
    """What happens to the alias of a rule (`knee`, …). `old`: tags of the version it points at, None if unset."""
    if old is None:
        return "set"
    if old.get("letheon.sweep_run") == new.get("letheon.sweep_run"):
        return "moved"
    known = {old.get(FORGET_DIGEST), new.get(FORGET_DIGEST)} - {None}
    if len(known) > 1:
        return "other data"
    return "moved" if _rank(rule, new) > _rank(rule, old) else "worse"


def describe_move(alias: str, what: Move, old: Tags, new: Tags) -> str | None:
    """One line about an alias; None if it only concerns a single sweep."""
    if old.get("letheon.sweep_run") == new.get("letheon.sweep_run"):
        return None
    theirs, ours = _describe(old), _describe(new)
    if what == "moved":
        return f"{alias} moved from {theirs} to {ours}, which is better"
    why = "is no better" if what == "worse" else "had other rows to forget"
    return f"{alias} stays with {theirs}: {ours} {why}"


def _rank(rule: str, tags: Tags) -> tuple[bool, float, float, float]:
    """Sort key: forgotten first, then the objective that the rule favours, then the other one, then a third.

    Between knees that have forgotten, the one that keeps more utility wins; otherwise the one that forgot more.
    """
    forgotten = tags.get(VERDICT) == "forgotten"
    x, y, z = (_number(tags, f"letheon.height_{axis}") for axis in "xyz")
    utility_first = rule == "max-utility" or (rule == "knee" and forgotten)
    return (forgotten, y, x, z) if utility_first else (forgotten, x, y, z)


def _number(tags: Tags, name: str) -> float:
    try:
        return float(tags.get(name, ""))
    except ValueError:
        return float("-inf")


def _describe(tags: Tags) -> str:
    point = f"{tags.get('letheon.trial', '?')}@{tags.get('letheon.epoch', '?')} of {tags.get('letheon.sweep', '?')}"
    return f"{point} ({tags[VERDICT]})" if VERDICT in tags else point
