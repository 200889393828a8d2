"""`letheon plan --measure`: a short run on the workers that the sweep would have, for what no earlier work recorded."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.common.counting import several
from letheon.preparation.artifacts import Prepared
from letheon.preparation.builder import PreparationFailed
from trainables.jobs.specs import BaseJob, FinetuneJob, SpeedJob, Speeds

if TYPE_CHECKING:
    from letheon.common.stop_request import StopRequest
    from letheon.spec.model import SweepSpec
    from letheon.workers.pool import Pool
    from trainables.config import TrialConfig

SECONDS = 30.0
"""How long the steps are measured. Starting Ray and the workers and loading models come on top."""
AT_ONCE = 4
"""Slots that measure side by side, since they slow each other down."""


@contextmanager
def temporary_folder(root: Path) -> Iterator[Path]:
    """A folder below the root, which all nodes share, for what a measurement writes; it is removed at the end."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".measure-{os.getpid()}-", dir=root, ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def announcement(job: SpeedJob, slots: int) -> str:
    """What will run, and how long at most, before it starts."""
    methods = ", ".join(each.hyperparameters.method for each in job.trials)
    tuning = "fine-tuning steps, " if job.finetune is not None else ""
    return (
        f"measuring in {several(slots, 'slot')}: {tuning}steps of {methods}, an evaluation and a checkpoint; "
        f"about {SECONDS:g} s after Ray and the workers have started and loaded the model; Ctrl-C stops it"
    )


def base_of(prepared: Prepared, folder: Path) -> tuple[str, BaseJob | None]:
    """The base model, "" if none is needed, and the job that makes it below `folder`; None if it exists."""
    base = prepared.base
    if base is None:
        return "", None
    if base.exists or not isinstance(base.job, BaseJob):
        return str(base.path), None
    place = str(folder / base.path.name)
    return place, base.job.model_copy(update={"folder": place})


def tuning_of(prepared: Prepared) -> FinetuneJob | None:
    """A fine-tuning that is still to be done."""
    return next((it.job for it in prepared.missing if isinstance(it.job, FinetuneJob)), None)


def speed_job_of(prepared: Prepared, trials: Sequence[TrialConfig], base: str, folder: Path) -> SpeedJob:
    """A slot's measurement, which writes into `folder` only. Trials start from the target model or, before it is
    trained, from the model that it will be trained from. `base`: as in `base_of`.
    """
    tuning = tuning_of(prepared)
    if tuning is not None and base:
        tuning = tuning.model_copy(update={"base": base})
    target = prepared.target
    to_train = target.job is not None and not target.exists
    changes = {
        "target": tuning.base if to_train and tuning is not None else str(target.path),
        "reference_cache": str(folder / "cache" / "reference"),
        "folder": str(folder / "trial"),
    }
    moved = tuple(each.model_copy(update=changes) for each in trials)
    return SpeedJob(finetune=tuning, trials=moved, folder=str(folder / "checkpoint"), seconds=SECONDS)


def run_speed_test(
    spec: SweepSpec,
    prepared: Prepared,
    trials: Sequence[TrialConfig],
    folder: Path,
    address: str | None,
    say: Callable[[str], None],
) -> tuple[list[Speeds], float]:
    """Measure in every slot, at most AT_ONCE, at the same time. Writes into `folder` only.

    Returns what each slot measured, and the seconds until all were ready.

    Raises:
        DoesNotFit, Stopped.
        PreparationFailed: with the reason.
    """
    from letheon.cluster.session import ray_session
    from letheon.cluster.slots import SlotCounter
    from letheon.common.stop_request import StopRequest
    from letheon.workers.board import Board
    from letheon.workers.pool import pool_of

    began, stop, joined = time.monotonic(), StopRequest(say=say), address is not None
    with stop.listening(), Board(folder, "starting Ray") as board, ray_session(address, spec.trial.gpus):
        stop.check()
        slots = min(AT_ONCE, SlotCounter(spec.trial.workers_config, joined)())
        base, made = base_of(prepared, folder)
        jobs = [speed_job_of(prepared, trials, base, folder / str(i)) for i in range(slots)]
        say(announcement(jobs[0], slots))
        with pool_of(spec, slots, folder, joined, stop) as pool, board.watching(pool.settings.prefix):
            pool.grow(slots)
            _wait_for_all(pool, slots, stop)
            ready = time.monotonic() - began
            if made is not None:
                _reports(pool, [made])
            reports = _reports(pool, jobs)
    return [Speeds.model_validate(report["speeds"]) for report in reports], ready


def _wait_for_all(pool: Pool, slots: int, stop: StopRequest) -> None:
    while pool.ready() < slots:
        stop.check()
        time.sleep(0.1)


def _reports(pool: Pool, jobs: Sequence[BaseJob | SpeedJob]) -> list[dict[str, object]]:
    """The reports of all jobs, each in a slot of its own. Raises PreparationFailed, Stopped."""
    found = [report for _, report in pool.run({str(i): job for i, job in enumerate(jobs)})]
    for report in found:
        if "failed" in report:
            raise PreparationFailed(f"the measurement failed: {report['failed']}; `letheon plan` works without it")
    return found
