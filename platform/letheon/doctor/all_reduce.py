"""Checks that two workers of a Ray Train run can sum tensors, as every optimizer step does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from letheon.common.counting import several
from letheon.doctor.finding import Finding, failed, ok, skipped
from letheon.workers.process_group import TorchGroupConfig

SIZE_MIB = 16
FLOATS = SIZE_MIB * 2**20 // 4


def all_reduce(config: dict[str, Any]) -> tuple[float, float]:
    """Ray Train's loop per worker. Returns the mean of the sum and the seconds of the second round."""
    import ray.train
    import ray.train.torch
    import torch
    import torch.distributed as dist

    context = ray.train.get_context()
    numbers = torch.ones(config["numbers"], device=ray.train.torch.get_device())
    total = seconds = 0.0
    for _ in range(2):
        data = numbers * (context.get_world_rank() + 1)
        started = time.perf_counter()
        dist.all_reduce(data)
        total = float(data.double().mean().item())
        seconds = time.perf_counter() - started
    return total, seconds


def check_all_reduce(storage: Path, gpu: bool, room: int) -> Finding:
    """`room`: how many workers with one CPU (and one GPU) fit. `storage`: Ray Train's folder."""
    name, backend = "all-reduce", "nccl" if gpu else "gloo"
    if room < 2:  # noqa: PLR2004 (it needs a pair)
        return skipped(name, f"there is room for {several(room, 'worker')} now, two are needed")
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        cast(Any, all_reduce),  # Ray's annotations do not allow its result
        train_loop_config={"numbers": FLOATS},
        torch_config=cast(Any, TorchGroupConfig(backend, timeout_s=60)),
        scaling_config=ScalingConfig(
            num_workers=2, use_gpu=gpu, resources_per_worker={"CPU": 1, **({"GPU": 1} if gpu else {})}
        ),
        run_config=RunConfig(name="doctor", storage_path=str(storage)),
    )
    try:
        total, seconds = cast(Any, trainer.fit()).return_value
    except Exception as error:
        cause = " ".join(str(error).split())[:200]
        return failed(
            name,
            f"two workers over {backend}: {cause}",
            "open the ports between nodes; for details set NCCL_DEBUG=INFO, to choose an interface GLOO_SOCKET_IFNAME",
        )
    if total != 3.0:  # noqa: PLR2004 (1 + 2)
        return failed(name, f"two workers over {backend}: 1 + 2 gave {total}", "check the devices' memory")
    rate = SIZE_MIB / max(seconds, 1e-9)
    return ok(name, f"two workers over {backend}: {SIZE_MIB} MiB in {seconds * 1000:.0f} ms ({rate:.0f} MiB/s)")
