"""`letheon prepare`: the first half of a sweep, without a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from letheon.capacity import shortage, slots_that_fit
from letheon.preparation import missing
from letheon.preparers import prepare
from letheon.spec import SweepSpec


def prepare_only(spec: SweepSpec, root: Path, address: str | None, say: Callable[[str], None]) -> None:
    """Make what is missing; Ray is started only if something is. Raises DoesNotFit, PreparationFailed."""
    from letheon.sweep import DoesNotFit

    root = root.resolve()
    if not missing(spec, root):
        return
    from letheon.session import node_resources, ray_session

    with ray_session(address, spec.trial.gpus_per_worker):
        nodes = node_resources()
        if refusal := shortage(nodes, spec.trial.workers_config):
            raise DoesNotFit(refusal)
        prepare(spec, root, slots_that_fit(nodes, spec.trial.workers_config), root / "prepare" / "logs", say)
