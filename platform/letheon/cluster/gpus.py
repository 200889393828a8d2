"""Memory of the GPUs that trials will run on, queried on the machines that have them. Loads no torch."""

from __future__ import annotations

import os
import subprocess

from letheon.common.errors import LetheonError

QUERY = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")
QUERY_SECONDS = 60.0
NODE_SECONDS = 900.0
"""How long a node with GPUs may take to start if the cluster has none yet."""


class UnknownGpu(LetheonError):
    """There are GPUs, but the size of their memory is unknown."""

    exit_code = 3


def card_bytes() -> int:
    """Memory of the smallest GPU that this process may use, in bytes. Raises UnknownGpu."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = [f"--id={visible}"] if visible else []
    try:
        output = subprocess.run(
            ["nvidia-smi", *QUERY, *chosen], capture_output=True, text=True, check=True, timeout=QUERY_SECONDS
        ).stdout
        return min(int(line) for line in output.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UnknownGpu(
            f"trial.gpus_per_worker auto: nvidia-smi must say how much memory the GPUs have ({error}); write a number"
        ) from error


def cluster_card_bytes(address: str) -> int | None:
    """Memory in bytes of the cluster's smallest GPU; None if it has no GPUs and cannot add any.

    Raises UnknownGpu, ConnectionError.
    """
    import ray

    from letheon.cluster.session import ray_session
    from letheon.cluster.slots import autoscaler

    with ray_session(address):
        nodes: list[dict[str, object]] = ray.nodes()  # type: ignore[no-untyped-call]
        query = ray.remote(num_cpus=0)(card_bytes)
        with_gpus = [node["NodeID"] for node in nodes if node["Alive"] and _gpus(node["Resources"])]
        queries = [query.options(label_selector={"ray.io/node-id": node}).remote() for node in with_gpus]
        kinds = (autoscaler().get("available_node_types") or {}).values()
        if not queries and any(_gpus(kind.get("resources")) and kind.get("max_workers") for kind in kinds):
            queries = [query.options(num_gpus=1).remote()]  # makes the cluster start a node, which the sweep needs
        try:
            return min(ray.get(queries, timeout=NODE_SECONDS), default=None)
        except ray.exceptions.GetTimeoutError as error:
            raise UnknownGpu(
                f"trial.gpus_per_worker auto: no node with a GPU joined within {NODE_SECONDS:.0f} s; write a number"
            ) from error
        except ray.exceptions.RayTaskError as error:
            raise UnknownGpu(str(error.cause)) from error


def _gpus(resources: object) -> float:
    return float(resources.get("GPU", 0)) if isinstance(resources, dict) else 0.0
