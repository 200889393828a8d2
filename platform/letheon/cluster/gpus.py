"""How much memory the GPUs have that trials will run on, asked of the machines that have them. Loads no torch."""

from __future__ import annotations

import os
import subprocess

from letheon.common.errors import LetheonError

QUERY = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")
ASK_SECONDS = 60.0
NODE_SECONDS = 900.0
"""How long a node with GPUs may take to start, where the cluster has none yet."""


class UnknownGpu(LetheonError):
    """There are GPUs, but they do not say how large they are."""

    exit_code = 3


def card_bytes() -> int:
    """Memory of the smallest GPU of this machine that this process may use. Raises UnknownGpu."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = [f"--id={visible}"] if visible else []
    try:
        said = subprocess.run(
            ["nvidia-smi", *QUERY, *chosen], capture_output=True, text=True, check=True, timeout=ASK_SECONDS
        ).stdout
        return min(int(line) for line in said.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UnknownGpu(
            f"trial.gpus_per_worker auto: nvidia-smi must say how much memory the GPUs have ({error}); write a number"
        ) from error


def cluster_card_bytes(address: str) -> int | None:
    """Of the smallest GPU of any node of the cluster at `address`; None where it has none and will have none.

    Raises UnknownGpu, ConnectionError.
    """
    import ray

    from letheon.cluster.session import ray_session
    from letheon.cluster.slots import autoscaler

    with ray_session(address):
        nodes: list[dict[str, object]] = ray.nodes()  # type: ignore[no-untyped-call]
        ask = ray.remote(num_cpus=0)(card_bytes)
        here = [node["NodeID"] for node in nodes if node["Alive"] and _gpus(node["Resources"])]
        asked = [ask.options(label_selector={"ray.io/node-id": node}).remote() for node in here]
        kinds = (autoscaler().get("available_node_types") or {}).values()
        if not asked and any(_gpus(kind.get("resources")) and kind.get("max_workers") for kind in kinds):
            asked = [ask.options(num_gpus=1).remote()]  # lets the cluster start a node, which the sweep needs anyway
        try:
            return min(ray.get(asked, timeout=NODE_SECONDS), default=None)
        except ray.exceptions.GetTimeoutError as error:
            raise UnknownGpu(
                f"trial.gpus_per_worker auto: no node with a GPU came within {NODE_SECONDS:.0f} s; write a number"
            ) from error
        except ray.exceptions.RayTaskError as error:
            raise UnknownGpu(str(error.cause)) from error


def _gpus(resources: object) -> float:
    return float(resources.get("GPU", 0)) if isinstance(resources, dict) else 0.0
