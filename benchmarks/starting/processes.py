"""Runs a command and measures its whole process tree: wall seconds, CPU seconds, number of processes."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PERIOD_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _SYSTEM = 1, 11, 12  # fields of /proc/PID/stat after the name


@dataclass(frozen=True)
class Ran:
    """`began`: seconds since 1970. `cpu`: user and system seconds of the tree, as seen last before each process ended;
    `looks`: (seconds since 1970, CPU seconds until then)."""

    began: float
    wall: float
    cpu: float
    processes: int
    looks: tuple[tuple[float, float], ...]
    output: str

    def cpu_until(self, when: float) -> float:
        """CPU seconds of the tree until then (seconds since 1970)."""
        return max((cpu for time_, cpu in self.looks if time_ <= when), default=0.0)


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ran:
    """Raises subprocess.CalledProcessError with what the command said if it fails."""
    began = time.time()
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    family, spent, looks = {process.pid}, dict[int, float](), list[tuple[float, float]]()
    while process.poll() is None:
        _look(family, spent)
        looks.append((time.time(), sum(spent.values())))
        time.sleep(PERIOD_SECONDS)
    wall = time.time() - began
    output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command), output)
    return Ran(began, wall, sum(spent.values()), len(spent), tuple(looks), output)


def _look(family: set[int], spent: dict[int, float]) -> None:
    """Add what descends from the family, and note what each of it has used."""
    found: dict[int, tuple[int, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it has just ended
        found[int(folder.name)] = int(fields[_PARENT]), (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
    grown = True
    while grown:
        fresh = {pid for pid, (parent, _) in found.items() if parent in family and pid not in family}
        family |= fresh
        grown = bool(fresh)
    spent.update({pid: seconds for pid, (_, seconds) in found.items() if pid in family})
