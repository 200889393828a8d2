"""Which version an alias of a registered model points at, when a second sweep of the same file comes along.

An alias such as `knee-20` is what people pull by. It never moves to a worse checkpoint, nor to one that had other data
to forget; a sweep may always move its own. What moved, and what stayed where it was, is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Tags = Mapping[str, str]
Move = Literal["set", "moved", "worse", "other data"]

FORGET_DIGEST = "letheon.forget_digest"
VERDICT = "letheon.verdict"


def move(rule: str, old: Tags | None, new: Tags) -> Move:
    """What happens to the alias of a rule (`knee`, …) that points at a version with the tags `old`; None: at none."""
    if old is None:
        return "set"
    if old.get("letheon.sweep_run") == new.get("letheon.sweep_run"):
        return "moved"
    known = {old.get(FORGET_DIGEST), new.get(FORGET_DIGEST)} - {None}
    if len(known) > 1:
        return "other data"
    return "moved" if _goodness(rule, new) > _goodness(rule, old) else "worse"


def describe_move(alias: str, what: Move, old: Tags, new: Tags) -> str | None:
    """A line about an alias; None where nothing is surprising."""
    if old.get("letheon.sweep_run") == new.get("letheon.sweep_run"):
        return None
    theirs, ours = _named(old), _named(new)
    if what == "moved":
        return f"{alias} moved from {theirs} to {ours}, which is better"
    why = "is no better" if what == "worse" else "had other rows to forget"
    return f"{alias} stays with {theirs}: {ours} {why}"


def _goodness(rule: str, tags: Tags) -> tuple[bool, float, float]:
    """A checkpoint that has forgotten beats one that has not; then what the rule goes for counts, then the other.

    The knee of those that have forgotten is the one that keeps more; of the others, the one that forgot more.
    """
    forgotten = tags.get(VERDICT) == "forgotten"
    x, y = _number(tags, "letheon.height_x"), _number(tags, "letheon.height_y")
    utility_first = rule == "max-utility" or (rule == "knee" and forgotten)
    return (forgotten, y, x) if utility_first else (forgotten, x, y)


def _number(tags: Tags, name: str) -> float:
    try:
        return float(tags.get(name, ""))
    except ValueError:
        return float("-inf")


def _named(tags: Tags) -> str:
    place = f"{tags.get('letheon.trial', '?')}@{tags.get('letheon.epoch', '?')} of {tags.get('letheon.sweep', '?')}"
    return f"{place} ({tags[VERDICT]})" if VERDICT in tags else place
