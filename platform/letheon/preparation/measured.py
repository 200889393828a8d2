"""What `letheon plan --measure` measured, as the throughputs that earlier work leaves.

`models/measured-<target>.json` has up to four entries: `finetune` and `evaluation` as `seconds` reads them of models
and baselines, `epoch`: seconds of a trial's epoch in one slot, as a sweep's journal gives them, and `start`: seconds
until Ray and the workers are ready.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from letheon.common.files import write_atomically
from trainables.jobs.specs import Speed, Speeds
from trainables.storage.manifest import read_json

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from trainables.config import WorkersConfig

PREFIX = "measured-"


@dataclass(frozen=True)
class Amounts:
    """What the sweep does. `trials`: method and fraction of each, as far as they are known in advance; by fraction:
    rows to `forget`, rows `evaluated` in an epoch. `max_epochs`: of a trial.
    """

    trials: Sequence[tuple[str, float]]
    forget: Mapping[float, int]
    evaluated: Mapping[float, int]
    max_epochs: int


def mean_of(slots: Sequence[Speeds]) -> Speeds:
    """The mean of slots that measured the same things at the same time. Pure."""
    first = slots[0]
    tuned = [each.finetune for each in slots if each.finetune is not None]
    return Speeds(
        load=fmean(each.load for each in slots),
        start=fmean(each.start for each in slots),
        save=fmean(each.save for each in slots),
        finetune=_joined(tuned) if tuned else None,
        evaluation=_joined([each.evaluation for each in slots]),
        trials={method: _joined([each.trials[method] for each in slots]) for method in first.trials},
    )


def _joined(speeds: Sequence[Speed]) -> Speed:
    return Speed(rows=sum(each.rows for each in speeds), seconds=sum(each.seconds for each in speeds))


def epoch_seconds(found: Speeds, amounts: Amounts) -> float:
    """Seconds of an epoch in one slot, the mean over the trials: training on all forget rows, a whole evaluation, a
    checkpoint, and a share of the trial's start. Pure.
    """

    def epoch(method: str, fraction: float) -> float:
        work = found.trials[method].of(amounts.forget[fraction]) + found.evaluation.of(amounts.evaluated[fraction])
        return work + found.save + found.start / amounts.max_epochs

    return fmean(epoch(method, fraction) for method, fraction in amounts.trials)


def amounts_of(spec: SweepSpec, trials: Sequence[tuple[str, float]]) -> Amounts:
    """Reads the benchmark. `trials`: method and fraction of each."""
    from trainables.data.benchmarks.registry import load_benchmark

    data = load_benchmark(spec.benchmark)
    splits = {fraction: data.split(fraction) for fraction in sorted({fraction for _, fraction in trials})}
    return Amounts(
        trials,
        {fraction: len(split.forget) for fraction, split in splits.items()},
        {fraction: sum(len(each.rows) for each in split.evaluation.values()) for fraction, split in splits.items()},
        spec.scheduler.max_epochs,
    )


def record_of(
    slots: Sequence[Speeds], amounts: Amounts, tuned: str, evaluated: str | None, workers: WorkersConfig
) -> dict[str, dict[str, Any]]:
    """The entries of a measurement in these slots. `tuned`: the base model that was fine-tuned; `evaluated`: that of
    the target model. Pure.

    A baseline loads and evaluates two models, so its entry has the seconds of both, with the rows of one.
    """
    found, on = mean_of(slots), {"workers": workers.model_dump(mode="json")}
    rows = max(amounts.evaluated.values())
    baseline = Speed(rows=rows, seconds=2 * (found.load + found.evaluation.of(rows)))
    entries: dict[str, dict[str, Any]] = {
        "evaluation": {"base": evaluated, **on, **baseline.model_dump()},
        "epoch": {"seconds": epoch_seconds(found, amounts)},
    }
    if found.finetune is not None:
        entries["finetune"] = {"base": tuned, **on, **found.finetune.model_dump()}
    return entries


def write_measured(models: Path, target: str, content: Mapping[str, Any]) -> None:
    """Replace the measurement of this target model. `content`: the entries by name."""
    write_atomically(models / f"{PREFIX}{target}.json", json.dumps({"target": target, **content}, indent=1).encode())


def measured(models: Path, name: str) -> Iterator[dict[str, Any]]:
    """The entries of this name, each with `target` and `time` (unix seconds)."""
    for file in models.glob(f"{PREFIX}*.json"):
        content = read_json(file) or {}
        if entry := content.get(name):
            yield {**entry, "target": content["target"], "time": file.stat().st_mtime}
