"""Builds missing artifacts on the workers of a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.common.errors import LetheonError
from letheon.journal.activity import artifact_name
from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import layout

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.workers.pool import Pool

Say = Callable[[str], None]
Tell = Callable[[Mapping[str, bool]], None]


class PreparationFailed(LetheonError):
    """An artifact could not be built."""

    exit_code = 3


def build_artifacts(
    spec: SweepSpec, root: Path, pool: Pool, say: Say = print, tell: Tell = lambda ready: None
) -> Prepared:
    """Build what is missing; artifacts that do not depend on each other are built at the same time.

    `tell` gets the names of all artifacts with whether they are ready, whenever one is; at the end nothing.

    Raises:
        PreparationFailed: with the reason and the folder of the logs.
    """
    prepared = layout(spec, root)
    todo = {artifact.key: artifact for artifact in prepared.missing}
    jobs = {key: artifact.job for key, artifact in todo.items() if artifact.job}
    ready = {artifact_name(it.kind, it.fraction): it.key not in todo for it in prepared.all}
    tell(ready)
    needs = {key: [other.key for other in prepared.needs(artifact)] for key, artifact in todo.items()}
    for key, report in pool.run(jobs, needs):
        name = artifact_name(todo[key].kind, todo[key].fraction)
        if "failed" in report:
            raise PreparationFailed(f"{name} could not be made: {report['failed']}; see {pool.settings.logs}")
        ready[name] = True
        tell(ready)
        seconds = f" in {report['seconds']:.0f} s (loss {report['loss']:.4f})" if "seconds" in report else ""
        say(f"prepared {name}{seconds}")
    tell({})
    return prepared


def folder_of_logs(root: Path) -> Path:
    """Where `letheon prepare` keeps its logs, and its `progress.json` while it runs."""
    return root / "prepare"


def prepare_only(spec: SweepSpec, root: Path, address: str | None, say: Say) -> None:
    """Build what is missing; starts Ray only if something is. Raises DoesNotFit, PreparationFailed, Stopped."""
    from letheon.cluster.sizing import resolve_auto

    root, spec = root.resolve(), resolve_auto(spec, address, say)
    if not layout(spec, root).missing:
        return
    from letheon.cluster.session import ray_session
    from letheon.cluster.slots import SlotCounter
    from letheon.common.stop_request import StopRequest
    from letheon.workers.board import Board
    from letheon.workers.pool import pool_of

    stop = StopRequest(say=say)
    folder, joined = folder_of_logs(root), address is not None
    with stop.listening(), Board(folder, "starting Ray") as board, ray_session(address, spec.trial.gpus):
        stop.check()
        slots = SlotCounter(spec.trial.workers_config, joined)()
        with pool_of(spec, slots, folder, joined, stop) as pool, board.watching(pool.settings.prefix):
            build_artifacts(spec, root, pool, say, board.artifacts)
