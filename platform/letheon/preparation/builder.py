"""Builds missing artifacts on the workers of a pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from letheon.common.errors import LetheonError
from letheon.preparation.artifacts import Prepared
from letheon.preparation.layout import layout

if TYPE_CHECKING:
    from letheon.spec.model import SweepSpec
    from letheon.workers.pool import Pool

Say = Callable[[str], None]


class PreparationFailed(LetheonError):
    """An artifact could not be built."""

    exit_code = 3


def build_artifacts(spec: SweepSpec, root: Path, pool: Pool, say: Say = print) -> Prepared:
    """Build what is missing; artifacts that do not depend on each other are built at the same time.

    Raises:
        PreparationFailed: with the reason and the folder of the logs.
    """
    prepared = layout(spec, root)
    todo = {artifact.key: artifact for artifact in prepared.missing}
    jobs = {key: artifact.job for key, artifact in todo.items() if artifact.job}
    needs = {key: [other.key for other in prepared.needs(artifact)] for key, artifact in todo.items()}
    for key, report in pool.run(jobs, needs):
        artifact = todo[key]
        of = "" if artifact.fraction is None else f" of fraction {artifact.fraction:g}"
        if "failed" in report:
            reason = f"{artifact.kind}{of} could not be made: {report['failed']}"
            raise PreparationFailed(f"{reason}; see {pool.settings.logs}")
        seconds = f" in {report['seconds']:.0f} s (loss {report['loss']:.4f})" if "seconds" in report else ""
        say(f"prepared {artifact.kind}{of}{seconds}")
    return prepared


def prepare_only(spec: SweepSpec, root: Path, address: str | None, say: Say) -> None:
    """Build what is missing; starts Ray only if something is. Raises DoesNotFit, PreparationFailed, Stopped."""
    from letheon.cluster.sizing import resolve_auto

    root, spec = root.resolve(), resolve_auto(spec, address, say)
    if not layout(spec, root).missing:
        return
    from letheon.cluster.session import ray_session
    from letheon.cluster.slots import SlotCounter
    from letheon.common.stop_request import StopRequest
    from letheon.workers.pool import pool_of

    stop = StopRequest(say=say)
    with stop.listening(), ray_session(address, spec.trial.gpus):
        stop.check()
        slots = SlotCounter(spec.trial.workers_config, joined=address is not None)()
        with pool_of(spec, slots, root / "prepare", address is not None, stop) as pool:
            build_artifacts(spec, root, pool, say)
