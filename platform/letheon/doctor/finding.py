"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "skipped", "warning", "failed"]
ORDER: tuple[State, ...] = ("ok", "skipped", "warning", "failed")


@dataclass(frozen=True)
class Finding:
    """`found`: the value and its rule; `fix`: what to do, empty if nothing."""

    check: str
    state: State
    found: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def skipped(check: str, why: str) -> Finding:
    return Finding(check, "skipped", why)


def warning(check: str, found: str, fix: str) -> Finding:
    return Finding(check, "warning", found, fix)


def failed(check: str, found: str, fix: str) -> Finding:
    return Finding(check, "failed", found, fix)


def worst(findings: Iterable[Finding]) -> State:
    """The most serious state; "ok" without findings."""
    return max((one.state for one in findings), key=ORDER.index, default="ok")
