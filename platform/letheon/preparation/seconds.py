"""How long a preparation will take, from what is already under the root: fine-tunings by row, evaluations by row.

Only models of the same base on the same workers count, or a measurement of them (`measured`). Pure but for reading
those files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.preparation.artifacts import Artifact, Prepared
from letheon.preparation.measured import measured
from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob
from trainables.storage.atomic_folder import MARKER
from trainables.storage.manifest import read_json

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from trainables.config import WorkersConfig

_KEY = re.compile(r"-[0-9a-f]{16}$")
_SAME = ("workers", "cpus_per_worker", "gpus_per_worker", "precision")


def preparation_seconds(spec: SweepSpec, root: Path, prepared: Prepared, slots: int) -> float | None:
    """Seconds until everything is prepared, `slots` jobs at a time; None if something like it was never measured."""
    missing = prepared.missing
    if not missing:
        return 0.0
    each = [(it, _seconds_of(it, spec, root.resolve() / "models", prepared)) for it in missing]
    models = [seconds for it, seconds in each if it.kind != "baseline"]
    baselines = [seconds for it, seconds in each if it.kind == "baseline"]
    if not slots or None in models or None in baselines:
        return None
    return sum(makespan([seconds or 0.0 for seconds in jobs], slots) for jobs in (models, baselines))


def makespan(seconds: Sequence[float], slots: int) -> float:
    """When the last job ends, if each takes the slot that is free first, in this order."""
    ends = [0.0] * slots
    for each in seconds:
        first = ends.index(min(ends))
        ends[first] += each
    return max(ends)


def _seconds_of(artifact: Artifact, spec: SweepSpec, models: Path, prepared: Prepared) -> float | None:
    from trainables.data.benchmarks.registry import load_benchmark

    job = artifact.job
    if isinstance(job, BaseJob):
        return 0.0  # made or unpacked in a moment
    if not isinstance(job, FinetuneJob | BaselineJob):
        return None
    data = load_benchmark(job.benchmark)
    if isinstance(job, BaselineJob):
        rows = sum(len(each.rows) for each in data.split(job.fraction).evaluation.values())
        return _scaled(_evaluations(models, base_of_target(prepared)), rows, job.workers)
    rows = len(data.full if job.fraction is None else data.split(job.fraction).retain)
    rows += len(data.general) if job.with_general else 0
    return _scaled(_finetunings(models, job.base), rows * job.recipe.epochs, job.workers)


def base_of_target(prepared: Prepared) -> str | None:
    """The base model that the target is trained from; None if the user provides the target."""
    job = prepared.target.job
    return job.base if isinstance(job, FinetuneJob) else _base_of(prepared.target.path)


def _scaled(measured: Iterator[dict[str, Any]], rows: int, workers: WorkersConfig) -> float | None:
    """Seconds for so many rows at the speed of the latest measurement on such workers."""
    mine = workers.model_dump(mode="json")
    same = [it for it in measured if all(it["workers"].get(name) == mine[name] for name in _SAME) and it["rows"]]
    latest = max(same, key=lambda it: float(it["time"]), default=None)
    return None if latest is None else float(rows * latest["seconds"] / latest["rows"])


def _finetunings(models: Path, base: str | None) -> Iterator[dict[str, Any]]:
    """The fine-tunings of this base: `rows` trained on in all epochs, `seconds`, `workers`, `time`."""
    for file in models.glob(f"*/{MARKER}"):
        facts = read_json(file) or {}
        if facts.get("kind") == "finetune" and "rows" in facts and _family(facts["base"]) == _family(base):
            yield {**facts, "rows": facts["rows"] * facts["recipe"]["epochs"], "time": file.stat().st_mtime}
    yield from _measured(models, "finetune", base)


def _evaluations(models: Path, base: str | None) -> Iterator[dict[str, Any]]:
    """The baseline evaluations of models of this base, in the same form."""
    for file in models.glob("baseline-*.json"):
        made = (read_json(file) or {}).get("made")
        if made and _family(_base_of(models / made["target"])) == _family(base):
            yield {**made, "time": file.stat().st_mtime}
    yield from _measured(models, "evaluation", base)


def _measured(models: Path, name: str, base: str | None) -> Iterator[dict[str, Any]]:
    return (it for it in measured(models, name) if _family(it["base"]) == _family(base))


def _base_of(target: Path) -> str | None:
    return (read_json(target / MARKER) or {}).get("base")


def _family(base: str | None) -> str | None:
    """A base model without the digest of the data that its tokenizer was made for."""
    return None if base is None else _KEY.sub("", Path(base).name) if Path(base).is_absolute() else base
