"""How many trials the cluster that was joined has room for, now that nodes come and go."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from letheon.cluster.capacity import DoesNotFit, nodes_that_may_be, shortage, slots_that_fit
from trainables.config import WorkersConfig

AUTOSCALER_VARIABLE = "LETHEON_AUTOSCALER_CONFIG"
AUTOSCALER_FILE = "~/ray_bootstrap_config.yaml"  # where `ray up` puts it on the head
HEAD = "node:__internal_head__"
LOOK_SECONDS = 2.0


@dataclass
class SlotCounter:
    """Called: how many trials may run at once.

    Nodes that the autoscaler would start for them count as if they were there, for they start when something waits for
    them; others count from the moment they join until they are gone.
    """

    workers: WorkersConfig
    joined: bool  # a cluster that others started, which may grow
    _slots: int = 0
    _looked: float = field(default=-LOOK_SECONDS, repr=False)

    def __call__(self) -> int:
        """Raises DoesNotFit if there has never been room for one."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            nodes = self._nodes()
            if self._slots == 0 and (problem := shortage(nodes, self.workers)):
                raise DoesNotFit(problem)
            self._slots = max(1, slots_that_fit(nodes, self.workers))  # one may wait for a node that comes back
        return self._slots

    def _nodes(self) -> list[Mapping[str, float]]:
        from letheon.cluster.session import node_resources

        there: list[Mapping[str, float]] = list(node_resources())
        if not self.joined:
            return there
        head = [node for node in there if HEAD in node]
        grown = [*head, *nodes_that_may_be(autoscaler(), self.workers)]
        return max(there, grown, key=lambda nodes: slots_that_fit(nodes, self.workers))


def autoscaler() -> dict[str, Any]:
    """The configuration of this cluster's autoscaler, on its head; empty where there is none."""
    file = Path(os.environ.get(AUTOSCALER_VARIABLE) or AUTOSCALER_FILE).expanduser()
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
