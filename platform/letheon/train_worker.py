"""The class of a resident worker's process: Ray Train's own, whose imports begin as soon as this module is imported."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

# Of this process; `trainables.worker.serve` enables it again when everything that it needs has been imported, a second
# of processor time sooner (of five).
gc.disable()

from ray.train.v2._internal.execution.worker_group import worker  # noqa: E402


@dataclass(frozen=True)
class Function:
    """What workers run, as Ray Train asks for it; sent to them as it is."""

    function: Callable[[], object]

    def get(self) -> Callable[[], object]:
        return self.function


class RayTrainWorker(worker.RayTrainWorker):
    """Imported by name where it runs; looks like Ray's own to those who list processes."""
