"""`letheon prepare`: the first half of a sweep, without a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from letheon.preparation.builder import prepare
from letheon.preparation.layout import missing
from letheon.spec.model import SweepSpec


def prepare_only(spec: SweepSpec, root: Path, address: str | None, say: Callable[[str], None]) -> None:
    """Make what is missing; Ray is started only if something is. Raises DoesNotFit, PreparationFailed, Stopped."""
    root = root.resolve()
    if not missing(spec, root):
        return
    from letheon.cluster.session import ray_session
    from letheon.cluster.sizing import sized
    from letheon.cluster.slots import Room
    from letheon.common.stop_request import StopRequest
    from letheon.workers.pool import pool_of

    spec, stop = sized(spec, address, say), StopRequest(say=say)
    with stop.listening(), ray_session(address, spec.trial.gpus):
        stop.check()
        slots = Room(spec.trial.workers_config, joined=address is not None)()
        with pool_of(spec, slots, root / "prepare", address is not None, stop) as pool:
            prepare(spec, root, pool, say)
