"""Measures how fast a worker fine-tunes, unlearns and evaluates, with the code that jobs and trials run.

Each part gets a share of the job's seconds, after a warm-up that is not counted: first steps compile, prove fast paths
and fill caches.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from trainables.config import TrialConfig
from trainables.data.rows import Split
from trainables.evaluation.evaluate import evaluate
from trainables.inputs.cache import WorkerCache
from trainables.jobs.prepare import FineTuning
from trainables.jobs.specs import Speed, SpeedJob, Speeds
from trainables.model.load import save_model
from trainables.runtime.channel import broadcast_from_rank0
from trainables.runtime.progress import Stage, within
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.trial import Trial

WARM_UP, LEAST = 2, 3
"""Steps that are not counted, and the fewest that are."""
FIRST_ROWS = 4
"""Rows of each set in the first evaluation; each further one has twice as many, as long as there is time."""
Clock = Callable[[], float]


def measure_speeds(job: SpeedJob, cache: WorkerCache, group: Group) -> Speeds:
    """What this slot measures. All ranks call it together; it leaves nothing behind."""
    share, config = job.seconds / 3, job.trials[0]
    clock = _clock(group)
    began = clock()
    target = cache.frozen_model(config.target, config.workers.precision, str(group.device))
    load = clock() - began
    split = cache.split(config.benchmark, config.hyperparameters.forget_fraction)

    def evaluated(model: Any) -> Speed:
        return evaluation_speed(lambda few: _evaluate(model, cache, config, few, group), split, share, clock, group)

    tuned = None
    if job.finetune is None:
        found = evaluated(target)
        cache.clear_device()  # trials decide for themselves whether they keep it
    else:
        cache.clear_device()
        with within("fine-tuning"):
            tuning = FineTuning(job.finetune, group)
            with closing(tuning.engine):
                tuned = step_speed((rows for rows, _ in tuning.steps()), share, clock, group)
                with tuning.engine.as_saved():  # its answers end, those of a base model need not
                    found = evaluated(tuning.engine.model)
    speeds, starts, save = dict[str, Speed](), list[float](), 0.0
    for each in job.trials:
        began = clock()
        with within(each.hyperparameters.method):
            trial = Trial(each, cache, group, 0)
            with closing(trial.engine):
                starts.append(clock() - began)
                steps = step_speed(_steps(trial), share / len(job.trials), clock, group)
                speeds[each.hyperparameters.method] = steps
                if each is job.trials[-1]:
                    save = _save_seconds(trial.engine, trial.loaded.tokenizer, Path(job.folder), clock, group)
    # The first trial of a process also proves its fast paths, later ones start like the quickest.
    return Speeds(load=load, start=min(starts), save=save, finetune=tuned, evaluation=found, trials=speeds)


def step_speed(steps: Iterable[int], limit: float, clock: Clock, group: Group) -> Speed:
    """Rows and seconds of steps after the warm-up, until `limit` seconds are over. `steps` takes them, and yields their
    rows.

    If they end before LEAST steps are counted, all are.
    """
    began, rows, ends = clock(), list[int](), list[float]()
    for of_step in steps:
        rows.append(of_step)
        ends.append(clock())
        if len(rows) >= WARM_UP + LEAST and broadcast_from_rank0(group, lambda: ends[-1] - began >= limit):
            break
    skipped = WARM_UP if len(rows) >= WARM_UP + LEAST else 0
    start = ends[skipped - 1] if skipped else began
    return Speed(rows=sum(rows[skipped:]), seconds=ends[-1] - start)


def evaluation_speed(
    evaluate_rows: Callable[[Split], None], split: Split, limit: float, clock: Clock, group: Group
) -> Speed:
    """Rows and seconds of the largest evaluation that takes less than about half of `limit`, at most that of all rows.

    Small evaluations cost more per row, since their batches are not full.
    """
    began, most = clock(), max(len(each.rows) for each in split.evaluation.values())
    evaluate_rows(_few(split, FIRST_ROWS))
    for rows in _doubling(FIRST_ROWS, most):
        start, few = clock(), _few(split, rows)
        evaluate_rows(few)
        now = clock()
        found = Speed(rows=sum(len(each.rows) for each in few.evaluation.values()), seconds=now - start)
        if broadcast_from_rank0(group, lambda: now - began + 2 * (now - start) > limit):  # noqa: B023 (called at once)
            break
    return found


def _doubling(first: int, last: int) -> Iterator[int]:
    """`first`, twice that, …, `last`."""
    while first < last:
        yield first
        first *= 2
    yield last


def _few(split: Split, rows: int) -> Split:
    """At most so many rows of each evaluation set."""
    sets = {name: replace(each, rows=each.rows[:rows]) for name, each in split.evaluation.items()}
    return replace(split, evaluation=sets)


def _evaluate(model: Any, cache: WorkerCache, config: TrialConfig, split: Split, group: Group) -> None:
    evaluate(model, cache.model(config.target).tokenizer, config.template, split, config.evaluation, group)


def _steps(trial: Trial) -> Iterator[int]:
    """Take the trial's steps without end, at its highest learning rate."""
    trial.engine.model.train()
    Stage("training")
    for epoch in count(1):
        for rows in trial.steps(epoch):
            trial.stepper.run(rows, epoch, trial.hyper.learning_rate)
            yield len(rows.forget)


def _save_seconds(engine: Engine, tokenizer: Any, folder: Path, clock: Clock, group: Group) -> float:
    """Seconds for the weights of one checkpoint, which is deleted again."""
    began = clock()
    weights = engine.weights()
    if weights is not None:
        save_model(folder, engine.model, tokenizer, weights)
    group.barrier()
    took = clock() - began
    if group.rank == 0:
        shutil.rmtree(folder)
    return took


def _clock(group: Group) -> Clock:
    """Seconds, read when the device has finished its queued work."""

    def now() -> float:
        if torch.device(group.device).type == "cuda":
            torch.cuda.synchronize(group.device)
        return time.monotonic()

    return now
