"""Peak memory of training steps under each memory recipe, measured and predicted. One JSON line per recipe, a table.

    python benchmarks/memory.py [--model smollm2|llama-1b|llama-3b|llama-8b] [--device cuda] [--recipes exact …]

Each recipe runs in a process of its own, with random weights of the model's shape and rows of random tokens: neither
changes what is kept. Measured: on a GPU its tensors, on a CPU what the process grows by beyond imports and the weights
that trials start from. Three steps of 16 rows of 100 tokens, half of them answers, on a CPU; of 64 rows on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainables.batching.rows import Encoded
from trainables.config import EvaluationConfig, WorkersConfig
from trainables.methods import METHODS
from trainables.model.cpu.patch import patch_for_cpu
from trainables.model.gpu_share import MemorySettings, estimate_memory
from trainables.model.memory import RECIPES, DecoderShape
from trainables.model.packed_attention import use_packed_attention
from trainables.model.presets import SMOLLM2
from trainables.model.scoring import make_batch
from trainables.runtime.progress import Stage
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.memory_usage import peak_bytes, reset_peak
from trainables.training.plain_step import plain_step

LLAMA = {"vocab_size": 128_256, "num_key_value_heads": 8}
MODELS: dict[str, dict[str, Any]] = {
    "smollm2": SMOLLM2,
    "llama-1b": LLAMA
    | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
    | {"head_dim": 64, "tie_word_embeddings": True},
    "llama-3b": LLAMA
    | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
    | {"head_dim": 128, "tie_word_embeddings": True},
    "llama-8b": LLAMA
    | {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32},
}
STEPS, TOKENS, ANSWER = 3, 100, 50
MIB = 2**20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", choices=MODELS, default="smollm2")
    options.add_argument("--device", default="cpu")
    options.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    options.add_argument("--here", action="store_true", help="measure one recipe in this process")
    chosen = options.parse_args()
    if chosen.here:
        print(json.dumps(measured(chosen.model, chosen.device, chosen.recipes[0])))
        return
    lines = []
    for recipe in chosen.recipes:
        command = [sys.executable, __file__, "--here", "--model", chosen.model, "--device", chosen.device]
        done = subprocess.run([*command, "--recipes", recipe], stdout=subprocess.PIPE, text=True, check=False)
        lines += done.stdout.splitlines()[-1:] if done.returncode == 0 else []
        print(lines[-1] if done.returncode == 0 else f"{recipe}: failed, see above", flush=True)
    print("| recipe | bytes per parameter | measured, MiB | predicted, MiB | difference |\n|---|---|---|---|---|")
    for line in map(json.loads, lines):
        peak, expected = line["measured_bytes"], line["predicted_bytes"]
        size, apart = RECIPES[line["recipe"]].parameter_bytes, 100 * (expected / peak - 1)
        print(f"| {line['recipe']} | {size:.2g} | {peak / MIB:,.0f} | {expected / MIB:,.0f} | {apart:+.0f}% |")


def measured(name: str, device: str, recipe: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LOCAL_RANK": "0", "DS_ACCELERATOR": device.partition(":")[0]}
        backend = "nccl" if device.startswith("cuda") else "gloo"
        store = f"file://{Path(folder) / 'rendezvous'}"
        torch.distributed.init_process_group(backend, init_method=store, rank=0, world_size=1)
        try:
            return _peak(name, Group(0, 1, torch.device(device)), recipe)
        finally:
            torch.distributed.destroy_process_group()


def _peak(name: str, group: Group, recipe: Any) -> dict[str, Any]:
    on_gpu = torch.device(group.device).type == "cuda"
    model = random_model(MODELS[name], group)
    shape = DecoderShape.of(model.config, sum(parameter.numel() for parameter in model.parameters()))
    workers = WorkersConfig(precision="bf16", memory=recipe, gpus_per_worker=float(on_gpu))
    warm_up()
    reset_peak(group.device)
    before = 0 if on_gpu else peak_bytes(group.device)
    engine = Engine(model, workers, group, weight_decay=0.01)
    engine.model.train()
    rows = [Encoded(tuple(range(1, TOKENS + 1)), TOKENS - ANSWER)] * (64 if on_gpu else 16)
    batch = partial(make_batch, pad_id=0, device=group.device, layout=engine.layout)
    for _ in range(STEPS):
        passes = len(plain_step(engine, rows, batch, group, 1e-5, None, Stage("measuring")))
    tokens = -(-len(rows) // passes) * TOKENS
    settings = MemorySettings(workers, EvaluationConfig(batch_tokens=64), [METHODS["ga"]], on_gpu=on_gpu)
    expected = estimate_memory(shape, settings, tokens, tokens * ANSWER // TOKENS).total
    peak = peak_bytes(group.device) - before
    return {"recipe": recipe, "model": name, "passes": passes, "measured_bytes": peak, "predicted_bytes": expected}


def random_model(sizes: dict[str, Any], group: Group) -> Any:
    """bf16 weights, made on the device, where that is quick, and kept on the host."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.set_default_dtype(torch.bfloat16)
    with torch.device(group.device):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**sizes))  # type: ignore[no-untyped-call]
    torch.set_default_dtype(torch.float32)
    model = model.to("cpu")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    use_packed_attention(model)
    patch_for_cpu(model)
    return model


def warm_up() -> None:
    """Import DeepSpeed and make oneDNN's first tables, which are not the trial's."""
    import deepspeed  # noqa: F401

    product = torch.randn(64, 64, dtype=torch.bfloat16, requires_grad=True) @ torch.randn(64, 64, dtype=torch.bfloat16)
    product.sum().backward()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
