"""The device of a worker: GPUs that it has not asked for are not its own, and each thread must choose its device."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import ray
import ray.train.torch
import torch

from letheon.workers import process_group
from letheon.workers.process_group import TorchGroupConfig


@pytest.mark.usefixtures("ray_session")
def test_workers_without_gpus_see_none() -> None:
    @ray.remote(num_cpus=0, runtime_env={"env_vars": {"CUDA_VISIBLE_DEVICES": "0"}})
    def visible() -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    assert not ray.get(visible.remote())


def test_a_worker_on_the_cpu_joins_on_a_machine_that_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    process_group._use_device(torch.device("cpu"))  # `torch.cuda.set_device` would raise


def test_the_train_loop_computes_on_its_own_gpu_in_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[int, Any]] = []
    monkeypatch.setattr(ray.train.torch, "get_device", lambda: torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append((threading.get_ident(), device)))

    def loop() -> None:
        with TorchGroupConfig("nccl").train_func_context():
            chosen.append((threading.get_ident(), "the loop"))

    thread = threading.Thread(target=loop)
    thread.start()
    thread.join()
    assert chosen == [(thread.ident, torch.device("cuda:1")), (thread.ident, "the loop")]
