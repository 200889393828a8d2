"""How many slots fit on a cluster: arithmetic on its nodes' resources, before anything is placed.

Computed, never typed by the user: more slots than fit would wait for each other's workers for ever.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from letheon.common.counting import several
from letheon.common.errors import LetheonError
from trainables.config import WorkersConfig

ROUNDING = 1e-9
GPU_FILES = (("/proc/driver/nvidia/gpus", "*"), ("/dev", "nvidia[0-9]*"))


class DoesNotFit(LetheonError):
    """Not even one trial fits on the cluster."""


def workers_that_fit(node: Mapping[str, float], workers: WorkersConfig) -> int:
    """Workers of this shape that one node can hold."""
    counts = [math.floor(node.get("CPU", 0.0) / workers.cpus_per_worker + ROUNDING)]
    gpus, share = node.get("GPU", 0.0), workers.gpus_per_worker
    if 0 < share < 1:  # a worker's share lies on one GPU: what is left over on two makes no third
        counts.append(math.floor(gpus + ROUNDING) * math.floor(1 / share + ROUNDING))
    elif share:
        counts.append(math.floor(gpus / share + ROUNDING))
    return min(counts)


def slots_that_fit(nodes: Sequence[Mapping[str, float]], workers: WorkersConfig) -> int:
    """Trials that can run at once; the workers of one trial may lie on several nodes."""
    return sum(workers_that_fit(node, workers) for node in nodes) // workers.workers


def nodes_that_may_be(autoscaler: Mapping[str, Any], workers: WorkersConfig) -> list[Mapping[str, float]]:
    """Resources of every worker node that a cluster may grow to, from the configuration of Ray's autoscaler.

    Types of node that hold most workers of this shape come first when `max_workers` leaves no place for all. What has
    no known resources counts for nothing.
    """
    types = autoscaler.get("available_node_types") or {}
    several = [
        (dict(kind.get("resources") or {}), int(kind.get("max_workers", 0)))
        for name, kind in types.items()
        if name != autoscaler.get("head_node_type")
    ]
    nodes = [resources for resources, count in several for _ in range(count)]
    nodes.sort(key=lambda node: workers_that_fit(node, workers), reverse=True)
    most = autoscaler.get("max_workers")
    return list(nodes if most is None else nodes[: int(most)])


def shortage(nodes: Sequence[Mapping[str, float]], workers: WorkersConfig) -> str | None:
    """Why not even one trial fits, or None."""
    if slots_that_fit(nodes, workers) >= 1:
        return None
    most = {key: max((node.get(key, 0.0) for node in nodes), default=0.0) for key in ("CPU", "GPU")}
    return (
        f"trial: {several(workers.workers, 'worker')} with {several(workers.cpus_per_worker, 'CPU')} and "
        f"{several(workers.gpus_per_worker, 'GPU')} each must fit on {several(len(nodes), 'node')}, the largest with "
        f"{several(most['CPU'], 'CPU')} and {several(most['GPU'], 'GPU')}; "
        "lower trial.workers, trial.cpus_per_worker or trial.gpus_per_worker, or add nodes"
    )


def machine() -> dict[str, float]:
    """CPUs and GPUs of this machine, as Ray would count them; starts nothing."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    else:  # containers often have only one of the two
        gpus = max(len(list(Path(place).glob(name))) for place, name in GPU_FILES)
    return {"CPU": float(len(os.sched_getaffinity(0))), "GPU": float(gpus)}
