"""`letheon prepare`: the first half of a sweep, without a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from letheon.preparation import missing
from letheon.preparers import prepare
from letheon.spec import SweepSpec


def prepare_only(spec: SweepSpec, root: Path, address: str | None, say: Callable[[str], None]) -> None:
    """Make what is missing; Ray is started only if something is. Raises DoesNotFit, PreparationFailed, Stopped."""
    root = root.resolve()
    if not missing(spec, root):
        return
    from letheon.pool import pool_of
    from letheon.room import Room
    from letheon.session import ray_session
    from letheon.sizing import sized
    from letheon.stop_request import StopRequest

    spec, stop = sized(spec, address, say), StopRequest(say=say)
    with stop.listening(), ray_session(address, spec.trial.gpus):
        stop.check()
        slots = Room(spec.trial.workers_config, joined=address is not None)()
        with pool_of(spec, slots, root / "prepare", address is not None, stop) as pool:
            prepare(spec, root, pool, say)
