"""Prepares what synthetic trials start from: target and retain models of every seed, and their measurements.

A result gets its name only when it is complete; a job whose result exists does nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from trainables.storage.atomic_folder import atomic_folder, is_finished
from trainables.storage.manifest import write_json
from trainables.synthetic.data import draw
from trainables.synthetic.files import load_weights, save_weights
from trainables.synthetic.jobs import SyntheticBaselineJob, SyntheticModelsJob
from trainables.synthetic.model import Yardstick, score
from trainables.synthetic.model import logits as logits_of
from trainables.synthetic.train import PRETRAINING_STEPS, pretrain


def make_models(job: SyntheticModelsJob) -> dict[str, float]:
    """Pre-train the model of each seed. Returns seconds and the mean loss."""
    folder = Path(job.folder)
    if is_finished(folder):
        return {}
    started = time.monotonic()
    problems = draw(job.alpha, job.seeds, 1.0 if job.fraction is None else job.fraction)
    rows = problems.retain.joined(problems.forget) if job.fraction is None else problems.retain
    weights = pretrain(rows, PRETRAINING_STEPS)
    loss = -float(score(logits_of(rows.features, weights), rows.labels).sequence.mean())
    facts = {"loss": loss, "seconds": time.monotonic() - started}
    with atomic_folder(folder, {**job.model_dump(mode="json"), **facts}) as partial:
        for seed, each in zip(job.seeds, weights, strict=True):
            save_weights(partial, seed, each)
    return facts


def make_baseline(job: SyntheticBaselineJob) -> None:
    """Write one JSON file: `folder`, `metrics` (means over seeds) and each seed's metrics for `target` and `retain`."""
    file = Path(job.file)
    if file.exists():
        return
    target, retain = (load_weights(Path(folder), job.seeds) for folder in (job.target, job.retain))
    yardstick = Yardstick(draw(job.alpha, job.seeds, job.fraction), target, retain)
    content: dict[str, Any] = {}
    for name, folder, weights in (("target", job.target, target), ("retain", job.retain, retain)):
        measured = yardstick.measure(weights)
        seeds = {str(seed): measured.of(i) for i, seed in enumerate(job.seeds)}
        content[name] = {"folder": folder, "metrics": measured.means(), "seeds": seeds}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, content)
