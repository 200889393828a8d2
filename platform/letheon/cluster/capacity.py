"""Computes how many slots fit on a cluster from the resources of its nodes, before anything is placed.

Users cannot set the number: more slots than fit would wait forever for each other's workers.
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
    """The cluster is too small for a single trial."""


def workers_that_fit(node: Mapping[str, float], workers: WorkersConfig) -> int:
    """How many workers of this size one node can hold."""
    counts = [math.floor(node.get("CPU", 0.0) / workers.cpus_per_worker + ROUNDING)]
    gpus, share = node.get("GPU", 0.0), workers.gpus_per_worker
    if 0 < share < 1:  # a worker's share must be on one GPU: remainders of two GPUs cannot be combined
        counts.append(math.floor(gpus + ROUNDING) * math.floor(1 / share + ROUNDING))
    elif share:
        counts.append(math.floor(gpus / share + ROUNDING))
    return min(counts)


def slots_that_fit(nodes: Sequence[Mapping[str, float]], workers: WorkersConfig) -> int:
    """How many trials can run at once; the workers of one trial may be on several nodes."""
    return sum(workers_that_fit(node, workers) for node in nodes) // workers.workers


def potential_nodes(autoscaler: Mapping[str, Any], workers: WorkersConfig) -> list[Mapping[str, float]]:
    """Resources of every worker node that Ray's autoscaler may start, from its configuration.

    If `max_workers` is lower than the sum over node types, the types that hold the most workers of this size count
    first. A type without known resources adds no capacity.
    """
    nodes: list[Mapping[str, float]] = [
        dict(kind.get("resources") or {})
        for name, kind in (autoscaler.get("available_node_types") or {}).items()
        if name != autoscaler.get("head_node_type")
        for _ in range(int(kind.get("max_workers", 0)))
    ]
    nodes.sort(key=lambda node: workers_that_fit(node, workers), reverse=True)
    most = autoscaler.get("max_workers")
    return nodes if most is None else nodes[: int(most)]


def shortage(nodes: Sequence[Mapping[str, float]], workers: WorkersConfig) -> str | None:
    """Why a single trial does not fit, or None if one does."""
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
    """CPUs and GPUs of this machine, as Ray would count them. Starts nothing."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    else:  # containers often have only one of the two
        gpus = max(len(list(Path(place).glob(name))) for place, name in GPU_FILES)
    return {"CPU": float(len(os.sched_getaffinity(0))), "GPU": float(gpus)}
