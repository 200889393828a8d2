"""Tiny models, rows and worker processes for tests: made here, so that a test states only what is special in it.

The models of `tests/goldens` are not made here: they belong to the numbers that published code gave for them.
"""

from __future__ import annotations

import multiprocessing.forkserver
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.multiprocessing import start_processes  # type: ignore[attr-defined]
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig

from trainables.batching.rows import Encoded
from trainables.config import Precision, WorkersConfig
from trainables.model.packed_attention import use_packed_attention
from trainables.runtime.ranks import Group

VOCABULARY = 40
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "initializer_range": 0.4,
}
"""Sizes that all architectures share. Weights are large, so that attention and tokens differ between rows."""
STAGES = (0, 1, 2, 3)
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
TIED = "lm_head.weight"

Tensors = dict[str, Tensor]
Work = Callable[[Group, Path], None]

_PRELOADED = ["torch", "deepspeed", "peft", "transformers.models.llama.modeling_llama", "transformers.models.auto"]


# ---- models and rows


def model(config: PretrainedConfig, seed: int = 0) -> Any:
    """A model with random weights, whose attention takes packed rows where its architecture can."""
    torch.manual_seed(seed)
    made = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    use_packed_attention(made)
    return made


def llama(seed: int = 0, **changes: Any) -> Any:
    """A Llama of `SHAPE` but for the given changes."""
    return model(LlamaConfig(**SHAPE | changes), seed)


def rows(lengths: Sequence[int | tuple[int, int]], seed: int = 3, vocabulary: int = VOCABULARY) -> list[Encoded]:
    """Random rows without token 0. A length is (prompt, answer), or of both together, halved."""
    generator = torch.Generator().manual_seed(seed)
    parts = [(each // 2, each - each // 2) if isinstance(each, int) else each for each in lengths]
    return [
        Encoded(tuple(torch.randint(1, vocabulary, (prompt + answer,), generator=generator).tolist()), prompt)
        for prompt, answer in parts
    ]


def workers(stage: int = 0, precision: Precision = "fp32", micro: int = 4, size: int = 1) -> WorkersConfig:
    zero = {"zero_optimization": {"stage": stage}}
    return WorkersConfig(workers=size, precision=precision, micro_batch_size=micro, compile="off", deepspeed=zero)


# ---- what a run leaves


def copied(state: Mapping[str, Tensor] | None) -> Tensors:
    """A copy on the CPU without the tied head; empty for None, which other ranks than 0 get."""
    return {name: tensor.detach().cpu().clone() for name, tensor in (state or {}).items() if name != TIED}


def same(one: Tensors, other: Tensors) -> bool:
    """Whether names and bits are the same."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def distance(one: Tensors, other: Tensors) -> float:
    """The largest difference between two entries of the same place."""
    assert one.keys() == other.keys()
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def keep(found: Mapping[str, Tensors], group: Group, folder: Path) -> None:
    """Rank 0 leaves these for `spawned` to return."""
    for name, tensors in found.items():
        if group.rank == 0:
            save_file(tensors, folder / f"{name}.safetensors")


# ---- processes


needs_engine_on_gpu = pytest.mark.skipif(
    os.environ.get("DS_ACCELERATOR") != "cuda" or not torch.cuda.is_available(),
    reason="needs a CUDA device and DS_ACCELERATOR=cuda, since DeepSpeed has one accelerator per process",
)


@contextmanager
def joined(meeting: Path, rank: int = 0, size: int = 1, device: str = "cpu", stay: bool = False) -> Iterator[Group]:
    """This process as a rank of the group that meets in a folder, with one thread; afterwards all is as before.

    `stay`: the group is that of an earlier call, if any, and remains for later ones: DeepSpeed keeps a copy of a
    process's first group and refuses to work in another one.
    """
    set_here = {"LOCAL_RANK": str(rank), "DS_ACCELERATOR": device.partition(":")[0]}
    before, threads = {name: os.environ.get(name) for name in set_here}, torch.get_num_threads()
    os.environ |= set_here
    torch.set_num_threads(1)
    backend, store = "nccl" if device.startswith("cuda") else "gloo", f"file://{meeting}/rendezvous"
    if not (stay and torch.distributed.is_initialized()):
        torch.distributed.init_process_group(backend, init_method=store, rank=rank, world_size=size)
    try:
        yield Group(rank, size, torch.device(device))
    finally:
        if not stay:
            torch.distributed.destroy_process_group()
        torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def spawned(work: Work, folder: Path, sizes: Sequence[int] = (1, 2)) -> dict[str, Tensors]:
    """Has groups of these sizes do the work, side by side in processes of their own; returns what they kept, by name.

    They are forked off a server that has imported the libraries once, and nothing of this process.
    """
    multiprocessing.forkserver.set_forkserver_preload(_PRELOADED)
    running = []
    for size in sizes:
        meeting = Path(tempfile.mkdtemp(dir=folder))
        args = (size, work, folder, meeting)
        started = start_processes(_process, args, size, join=False, start_method="forkserver")  # type: ignore[no-untyped-call]
        running.append(started)
    for each in running:
        while not each.join():
            pass
    return {path.stem: load_file(path) for path in folder.glob("*.safetensors")}


def _process(rank: int, size: int, work: Work, folder: Path, meeting: Path) -> None:
    with joined(meeting, rank, size) as group:
        work(group, folder)
