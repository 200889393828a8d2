"""Runs an audit: all attacks of the job on its model, one after another, and one file of results.

All ranks run it in lockstep. The model under attack is whole on every rank; only relearning shards it, as trials do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.audit.attacks import RUN, AttackContext, Outcome, Run, no_attack
from trainables.audit.config import ATTACKS
from trainables.audit.job import AuditJob
from trainables.audit.summary import NO_ATTACK, headline, named
from trainables.data.rows import Row, Split
from trainables.inputs.cache import WorkerCache
from trainables.model.load import load_model
from trainables.runtime.progress import within
from trainables.runtime.ranks import Group
from trainables.storage.manifest import read_json, write_json


def run_audit(job: AuditJob, cache: WorkerCache, group: Group) -> dict[str, Any]:
    """Attack the job's model and write its file; the same result on every rank. An existing file is the result."""
    file = Path(job.file)
    # Rank 0 decides for all: on shared storage another rank may not see the file yet.
    found: dict[str, Any] | None = group.gather([read_json(file) if group.rank == 0 else None])[0]
    if found is not None:
        return found
    cache.clear_device()  # relearning plans with the worker's whole share of the device
    # Not through the cache: a checkpoint is audited once, and would push the target model out.
    model, tokenizer = load_model(job.model)
    split = cache.split(job.benchmark, job.fraction)
    result = audit(job, model, tokenizer, split, cache.benchmark(job.benchmark).general, group)
    if group.rank == 0:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, result)
    group.barrier()
    return result


def audit(
    job: AuditJob, model: Any, tokenizer: Any, split: Split, general: Sequence[Row], group: Group
) -> dict[str, Any]:
    """The content of the job's file. `model` is on the CPU in float32 and is not changed.

    An attack that the data cannot support has no metrics; its reason is under `skipped`.
    """
    started = time.monotonic()
    context = AttackContext(job, split, general, model, tokenizer, group)
    attacks: dict[str, Run] = {NO_ATTACK: no_attack}
    attacks |= {attack: RUN[attack] for attack in ATTACKS if attack in job.audit.attacks}
    outcomes: dict[str, Outcome] = {}
    skipped: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for attack, run in attacks.items():
        begun = time.monotonic()
        with within(attack.replace("_", " ")):
            result = run(context)
        if isinstance(result, str):
            skipped[attack] = result
        else:
            outcomes[attack] = result
        seconds[attack] = time.monotonic() - begun
    metrics = _metrics(outcomes) | {"audit_seconds": max(group.gather([time.monotonic() - started]))}
    return {
        "metrics": metrics,
        "rows": len(context.rows),
        "curves": {attack: list(outcome.curve) for attack, outcome in outcomes.items() if outcome.curve},
        "samples": {attack: list(outcome.samples) for attack, outcome in outcomes.items()},
        "skipped": skipped,
        "seconds": seconds,
    }


def _metrics(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    found = {key: value for attack, outcome in outcomes.items() for key, value in named(attack, outcome.values).items()}
    return found | headline(found)
