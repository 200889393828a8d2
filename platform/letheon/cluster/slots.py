"""Counts how many trials a cluster can run now, while nodes join and leave."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from letheon.cluster.capacity import DoesNotFit, potential_nodes, shortage, slots_that_fit
from trainables.config import WorkersConfig

AUTOSCALER_VARIABLE = "LETHEON_AUTOSCALER_CONFIG"
AUTOSCALER_FILE = "~/ray_bootstrap_config.yaml"  # `ray up` puts it there, on the head node
HEAD = "node:__internal_head__"
REFRESH_SECONDS = 2.0


@dataclass
class SlotCounter:
    """Call it for the number of trials that may run at once.

    Nodes that the autoscaler would start count as present, since they start once something waits for them; other nodes
    count from joining until they are removed.
    """

    workers: WorkersConfig
    joined: bool  # to a running cluster, which may grow
    _slots: int = 0
    _counted_at: float = field(default=-REFRESH_SECONDS, repr=False)

    def __call__(self) -> int:
        """Raises DoesNotFit if no trial fits, unless one did before."""
        if time.monotonic() - self._counted_at >= REFRESH_SECONDS:
            self._counted_at = time.monotonic()
            nodes = self._nodes()
            if self._slots == 0 and (problem := shortage(nodes, self.workers)):
                raise DoesNotFit(problem)
            self._slots = max(1, slots_that_fit(nodes, self.workers))  # one may wait for a node that returns
        return self._slots

    def _nodes(self) -> list[Mapping[str, float]]:
        from letheon.cluster.session import node_resources

        present: list[Mapping[str, float]] = list(node_resources())
        if not self.joined:
            return present
        head = [node for node in present if HEAD in node]
        grown = [*head, *potential_nodes(autoscaler(), self.workers)]
        return max(present, grown, key=lambda nodes: slots_that_fit(nodes, self.workers))


def autoscaler() -> dict[str, Any]:
    """The configuration of this cluster's autoscaler, on its head node; empty if there is none."""
    file = Path(os.environ.get(AUTOSCALER_VARIABLE) or AUTOSCALER_FILE).expanduser()
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
