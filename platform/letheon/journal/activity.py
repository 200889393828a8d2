"""`progress.json` in a sweep's folder: what its driver and its workers are doing now.

State, not history: the driver replaces the file every few seconds, and the journal has no row of it. The file has the
fields of `Activity`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from letheon.common.files import write_atomically
from letheon.common.paths import MODEL
from trainables.storage.manifest import read_json

NAME = "progress.json"


@dataclass(frozen=True)
class Work:
    """What one worker group does. `trial`: its name, None for other jobs; `epoch`: of a trial.

    `step`, `of`: counted steps of the stage. `seconds`: since the job or the epoch began; `silent`: since the worker
    last reported.
    """

    job: str
    stage: str
    seconds: float
    silent: float
    trial: str | None = None
    epoch: int | None = None
    step: int | None = None
    of: int | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None

    @property
    def share(self) -> float | None:
        """The share of the stage's steps that are done, in [0, 1]; None if they are not counted."""
        return None if self.step is None or not self.of else min(1.0, self.step / self.of)


@dataclass(frozen=True)
class Activity:
    """`driver`: what the driver itself does, for `driver_seconds`; None while it only waits. `artifacts`: name and
    whether it is ready, of all that a preparation makes, in order; empty once it is over. `time`: unix seconds, when
    this was so."""

    driver: str | None = None
    driver_seconds: float = 0.0
    artifacts: Sequence[tuple[str, bool]] = ()
    work: Sequence[Work] = ()
    time: float = 0.0

    def at(self, now: float) -> Activity:
        """The same at a later time: what has not been heard of since is older."""
        later = max(0.0, now - self.time)
        work = [replace(one, seconds=one.seconds + later, silent=one.silent + later) for one in self.work]
        return replace(self, driver_seconds=self.driver_seconds + later, work=work, time=now)

    def state_of(self, artifact: str, ready: bool) -> str:
        """`ready`, `running` or `waiting`."""
        return "ready" if ready else "running" if any(work.job == artifact for work in self.work) else "waiting"

    def to_json(self) -> dict[str, Any]:
        """`activity` in `status --json`; docs/watching.md explains the keys."""
        return {
            "driver": self.driver,
            "artifacts": [{"name": name, "state": self.state_of(name, ready)} for name, ready in self.artifacts],
            "work": [
                {**asdict(work), "seconds": round(work.seconds, 1), "silent": round(work.silent, 1)}
                for work in self.work
            ],
        }


NOTHING = Activity()


def write_activity(folder: Path, activity: Activity) -> None:
    """Replace the file."""
    write_atomically(folder / NAME, json.dumps(asdict(activity)).encode())


def read_activity(folder: Path, now: float) -> Activity:
    """What the file says, at `now` (unix seconds); `NOTHING` if there is none, or if another version wrote it."""
    content = read_json(folder / NAME)
    try:
        found = Activity(**(content or {}))
        artifacts = [(str(name), bool(ready)) for name, ready in found.artifacts]
        work = [Work(**one) for one in found.work]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return NOTHING
    return replace(found, artifacts=artifacts, work=work).at(now) if content else NOTHING


def work_of(activity: Mapping[str, Any], now: float) -> Work:
    """A worker group's work from what its mailbox says (`Mailbox.activity`). Numbers that are not finite are None."""
    progress = activity["progress"]
    name, trial = job_name(activity["job"])
    numbers = {key: progress.get(key) for key in ("loss", "tokens_per_second", "seconds_left")}
    return Work(
        job=name,
        stage=progress.get("stage") or ("starting" if activity["ready"] else "starting workers"),
        seconds=now - activity["since"],
        silent=now - activity["heard"],
        trial=trial,
        epoch=None if trial is None else activity["epoch"],
        step=progress.get("step"),
        of=progress.get("of"),
        **{key: value if value is not None and math.isfinite(value) else None for key, value in numbers.items()},
    )


def job_name(job: Mapping[str, Any]) -> tuple[str, str | None]:
    """What a job is called, and the trial that it runs, if any."""
    kind, fraction = job.get("kind"), job.get("fraction")
    match kind:
        case "trial":
            trial = str(job["config"]["trial"])
            return trial, trial
        case "base":
            return "base model", None
        case "finetune" | "synthetic_models":
            return artifact_name("target" if fraction is None else "retain", fraction), None
        case "probe":
            return "measurement", None
        case "audit":
            model = Path(job["model"])
            checkpoint = f"{model.parents[1].name}/{model.parent.name}"
            return f"audit of {checkpoint if model.name == MODEL else model.name}", None
    return artifact_name("baseline", fraction), None


def artifact_name(kind: str, fraction: float | None) -> str:
    """`retain model 0.1`, `baseline 0.1`, `target model`."""
    what = "baseline" if kind == "baseline" else f"{kind} model"
    return what if fraction is None else f"{what} {fraction:g}"
