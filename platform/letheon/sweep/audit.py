"""Attacks every front checkpoint, and the retain model of each stratum for comparison.

`trainables.audit` defines the attacks. Each audited model has a journal row and a file and is not audited again, so an
interrupted audit continues and a second one does nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letheon.cluster.session import ray_session
from letheon.cluster.slots import SlotCounter
from letheon.common.errors import LetheonError
from letheon.common.paths import model_folder
from letheon.common.stop_request import StopRequest
from letheon.journal import Journal, Row, SweepLock, stratum_of
from letheon.pareto.front import front_of
from letheon.preparation.artifacts import Prepared, content_key
from letheon.preparation.builder import build_artifacts
from letheon.spec.rules_objectives import NOTHING_TO_ATTACK
from letheon.sweep.finish import REGISTERING, Outcome, finish
from letheon.sweep.mirror import Mirror
from letheon.sweep.recording import tracker_of
from letheon.sweep.sweep import Say, Sweep
from letheon.workers.board import Board
from letheon.workers.pool import Pool, pool_of
from trainables.audit.job import AuditJob
from trainables.audit.summary import excess
from trainables.storage.trial_folder import epoch_name


class AuditFailed(LetheonError):
    """A checkpoint could not be audited, or there is nothing to audit."""

    exit_code = 3


@dataclass(frozen=True)
class Subject:
    """A model to attack: a checkpoint (trial, epoch), or the retain model of a stratum as `retain-0.1`, epoch 0."""

    trial: str
    epoch: int
    stratum: str
    job: AuditJob

    @property
    def name(self) -> str:
        return f"{self.trial}@{self.epoch}" if self.epoch else self.trial


def audit_sweep(sweep: Sweep, address: str | None, say: Say) -> Outcome:
    """Audit a finished sweep and update its report and records.

    Raises:
        AuditFailed: the sweep is not finished, has no front, or an attack failed. Finished audits are kept.
        Stopped: there is a request to stop. Finished audits are kept.
    """
    with SweepLock(sweep.folder):
        journal = Journal(sweep.journal)
        _require_front(sweep, journal.rows)
        tracker = tracker_of(sweep)
        tracker.check()
        if not is_audited(sweep, journal.rows):
            stop = StopRequest(sweep.command("audit"), say)
            with stop.listening(), Board(sweep.folder, "starting Ray") as board:
                journal.append("sweep", state="running", info={"audit": sweep.spec.audit_config.digest()})
                try:
                    with ray_session(address, sweep.spec.trial.gpus):
                        stop.check()
                        slots = SlotCounter(sweep.spec.trial.workers_config, joined=address is not None)()
                        spec = sweep.spec.model_copy(update={"plugins": ()})  # attacks need no method's code
                        started = pool_of(spec, slots, sweep.folder, address is not None, stop)
                        with started as pool, board.watching(pool.settings.prefix):
                            prepared = build_artifacts(sweep.spec, sweep.root, pool, say, board.artifacts)
                            audit_front(sweep, prepared, journal, pool, say)
                finally:
                    journal.append("sweep", state="finished")  # the search is, even if the audit failed
        with Board(sweep.folder, REGISTERING):
            return finish(sweep, Mirror(tracker, sweep.folder), journal)


def _require_front(sweep: Sweep, rows: Sequence[Row]) -> None:
    if sweep.spec.benchmark.name in NOTHING_TO_ATTACK:
        raise AuditFailed(f"sweep {sweep.name!r}: {NOTHING_TO_ATTACK[sweep.spec.benchmark.name]}")
    if sweep.spec.model.retain_log:
        raise AuditFailed(f"sweep {sweep.name!r}: model.retain_log has no retain model, which an audit attacks too")
    last = next((row["state"] for row in reversed(rows) if row["kind"] == "sweep"), "preparing")
    if last != "finished":
        raise AuditFailed(f"sweep {sweep.name!r} is {last}, so its front may change: letheon resume {sweep.name}")
    if not _points(sweep, rows):
        raise AuditFailed(f"sweep {sweep.name!r} has no checkpoint on a front; there is nothing to audit")


def is_audited(sweep: Sweep, rows: Sequence[Row]) -> bool:
    """Whether every checkpoint on a front of the search, and its retain model, has an audit row."""
    audited = {(row["trial"], row["epoch"]) for row in rows if row["kind"] == "audit"}
    points = _points(sweep, rows)
    return {(trial, epoch) for _, trial, epoch in points} | {(_retain(key), 0) for key, _, _ in points} <= audited


def audit_front(sweep: Sweep, prepared: Prepared, journal: Journal, pool: Pool, say: Say) -> None:
    """Append a row for every subject that has none. Raises AuditFailed, Stopped."""
    started = time.monotonic()
    missing = [
        it for it in subjects(sweep, prepared, journal.rows) if journal.find("audit", it.trial, it.epoch) is None
    ]
    todo = {it.job.file: it for it in missing if not Path(it.job.file).exists()}
    rows = _RowWriter(journal, {it.stratum for it in missing if not it.epoch})
    for it in missing:
        if it.job.file not in todo:
            rows.add(it)
    if not todo:
        return
    for file, report in pool.run({file: it.job for file, it in todo.items()}):
        if "failed" in report:
            raise AuditFailed(f"{todo[file].name} could not be audited: {report['failed']}; see {pool.settings.logs}")
        rows.add(todo[file])
        say(f"audited {todo[file].name}")
    say(f"audited {len(todo)} models in {time.monotonic() - started:.0f} s")


class _RowWriter:
    """Writes the journal rows: a checkpoint's after its retain model's, since it states the difference to it."""

    def __init__(self, journal: Journal, awaited: set[str]) -> None:
        """`awaited`: strata whose retain model has no row yet."""
        self._journal, self._awaited = journal, awaited
        self._waiting: list[Subject] = []

    def add(self, subject: Subject) -> None:
        """Write the subject's row, now or once its retain model has one. The subject's file must exist."""
        self._waiting.append(subject)
        if not subject.epoch:
            self._awaited.discard(subject.stratum)
        ready = [it for it in self._waiting if not it.epoch or it.stratum not in self._awaited]
        for it in sorted(ready, key=lambda it: it.epoch):
            self._waiting.remove(it)
            self._journal.append("audit", **self._facts(it))

    def _facts(self, subject: Subject) -> dict[str, Any]:
        metrics = read_audit(Path(subject.job.file))["metrics"]
        retain = self._journal.find("audit", _retain(subject.stratum), 0) if subject.epoch else None
        more = {} if retain is None else excess(metrics, retain["metrics"])
        return {
            "trial": subject.trial,
            "epoch": subject.epoch,
            "stratum": subject.stratum,
            "metrics": {**metrics, **more},
            "file": subject.job.file,
        }


def subjects(sweep: Sweep, prepared: Prepared, rows: Sequence[Row]) -> Iterator[Subject]:
    """All models to attack, retain models first, since checkpoints are compared with them."""
    points = _points(sweep, rows)
    fractions = {stratum_of(fraction): fraction for fraction in sweep.spec.fractions}
    for key in dict.fromkeys(key for key, _, _ in points):
        retain = prepared.retain[fractions[key]]
        job = _job(sweep, prepared, fractions[key], retain.path)
        name = content_key("audit", retain.key, prepared.data, job.model_dump(mode="json", exclude={"model", "file"}))
        file = sweep.root / "models" / f"audit-{key}-{name}.json"
        yield Subject(_retain(key), 0, key, job.model_copy(update={"file": str(file)}))
    for key, trial, epoch in points:
        job = _job(sweep, prepared, fractions[key], model_folder(sweep.trials, trial, epoch))
        file = sweep.folder / "audits" / f"{trial}-{epoch_name(epoch)}.json"
        yield Subject(trial, epoch, key, job.model_copy(update={"file": str(file)}))


def _job(sweep: Sweep, prepared: Prepared, fraction: float, model: Path) -> AuditJob:
    """The job without its file, whose name may depend on the other fields."""
    spec = sweep.spec
    return AuditJob(
        model=str(model),
        benchmark=spec.benchmark,
        fraction=fraction,
        template=prepared.template,
        evaluation=spec.evaluation,
        workers=spec.trial.workers_config,
        recipe=spec.model.recipe,
        lora=spec.trial.lora,
        audit=spec.audit_config,
        file="",
    )


def _points(sweep: Sweep, rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """(stratum, trial, epoch) of every checkpoint on the search's front."""
    front = front_of(rows, goals=sweep.goals.search_goals)
    return [
        (key, point["trial"], point["epoch"]) for key, stratum in front["strata"].items() for point in stratum["points"]
    ]


def _retain(stratum: str) -> str:
    return f"retain-{stratum}"


def read_audit(file: Path) -> dict[str, Any]:
    """The file of an audit: `metrics`, `curves`, `samples`, `skipped`, `seconds`."""
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def audit_facts(sweep: Sweep, rows: Sequence[Row]) -> dict[str, Any]:
    """The shape of `audit --json`: {"sweep", "audit": settings, "strata": {stratum: {"retain": metrics, "checkpoints":
    [{"trial", "epoch", "metrics", "file"}]}}}."""
    strata: dict[str, dict[str, Any]] = {}
    audits = sorted((row for row in rows if row["kind"] == "audit"), key=lambda row: (row["trial"], row["epoch"]))
    for row in audits:
        stratum = strata.setdefault(row["stratum"], {"retain": None, "checkpoints": []})
        if row["epoch"]:
            stratum["checkpoints"].append({name: row[name] for name in ("trial", "epoch", "metrics", "file")})
        else:
            stratum["retain"] = row["metrics"]
    return {
        "sweep": sweep.name,
        "audit": sweep.spec.audit_config.model_dump(mode="json"),
        "strata": {key: strata[key] for key in sorted(strata, key=float)},
    }
