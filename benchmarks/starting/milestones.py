"""When things happened in a sweep, from its journal and logs."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

_EVENT = re.compile(r"^(\d+\.\d+) letheon: (.*)$")
_FIRST_STEP = re.compile(r"(\w+): first step of epoch 1$")


class Story:
    """The times of one sweep's folder, in seconds since 1970."""

    def __init__(self, folder: Path) -> None:
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in (folder / "journal.jsonl").open()]
        self.events = list(_events(folder / "logs" / "events.log"))
        self.workers = [list(_events(log)) for log in sorted((folder / "logs").glob("slot-*-rank0.log"))]

    def milestones(self) -> dict[str, float]:
        """In the order in which they usually happen; the earliest where several processes reach one."""
        worker = sorted(event for log in self.workers for event in log)
        return {
            "command is read": self._row("sweep"),
            "Ray is up": _first(self.events, "Ray is up"),
            "worker joined its group": _first(worker, "worker joined"),
            "records are open": _first(self.events, "records are open"),
            "search begins": _first(self.events, "search begins"),
            "slot is up": _first(self.events, "slot with"),
            "worker is ready": _first(worker, "worker is ready"),
            "trial is taken": _first(worker, "trial taken"),
            "engine is ready": _first(worker, ": engine ready"),
            "first optimizer step": _first(worker, ": first step of epoch 1"),
            "first report": self._row("report"),
            "search is over": _first(self.events, "search is over"),
            "Ray is gone": _first(self.events, "Ray is gone"),
            "sweep is recorded": self.rows[-1]["time"],
        }

    def gaps(self) -> list[float]:
        """Seconds from a trial's end (its row in the journal) to the next one's first step in the same worker."""
        ends = {row["trial"]: row["time"] for row in self.rows if row["kind"] == "end"}
        found: list[float] = []
        for log in self.workers:
            steps = [(match[1], when) for when, event in log if (match := _FIRST_STEP.match(event))]
            for (before, _), (_, when) in pairwise(steps):
                found.append(when - ends[before])
        return found

    @property
    def trials(self) -> int:
        return sum(row["kind"] == "end" for row in self.rows)

    def _row(self, kind: str) -> float:
        return float(next(row["time"] for row in self.rows if row["kind"] == kind))


def _events(log: Path) -> Iterator[tuple[float, str]]:
    for line in log.read_text(errors="replace").splitlines():
        if match := _EVENT.match(line):
            yield float(match[1]), match[2]


def _first(events: list[tuple[float, str]], part: str) -> float:
    return next(when for when, event in events if part in event)


def spread(values: list[float]) -> dict[str, float]:
    """Median, minimum and maximum, in seconds."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
