"""Bytes and seconds of an epoch's checkpoint: weights, state and digests, as Letheon writes them and plainly.

    python benchmarks/checkpoints.py [--model smollm2|tiny] [--folder FOLDER] [--repeats 3]

Plainly means: `save_pretrained`, DeepSpeed's `save_checkpoint`, then SHA-256 of every file. Both ways save the same
engine with random weights of the model's shape, in turn, in one process. `state` counts an epoch that saves its state;
most epochs of a large model save none (`trainables/storage/save_state.py`). The last line is one JSON object; times are
medians, ratios are plain over Letheon.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trainables.config import WorkersConfig
from trainables.model.presets import PRESETS
from trainables.runtime.ranks import Group
from trainables.storage.manifest import list_files
from trainables.storage.model_files import ModelFiles
from trainables.storage.trial_folder import TrialFolder
from trainables.training.engine import STATE_TAG, Engine

Save = Callable[[Engine, Path, bool], None]


def plainly(engine: Engine, folder: Path, state: bool) -> None:
    """Weights, then everything again in the state, then every file read for its digest."""
    folder.mkdir(parents=True)
    engine.model.save_pretrained(folder / "model")
    if state:
        checkpoints = engine.deepspeed.checkpoint_engine
        ours = checkpoints.save
        checkpoints.save = type(checkpoints).save.__get__(checkpoints)
        engine.deepspeed.save_checkpoint(str(folder / "state"), tag=STATE_TAG)
        checkpoints.save = ours
    list_files(folder)


def letheon(files: ModelFiles, engine: Engine, folder: Path, state: bool) -> None:
    """`files`: kept from one epoch to the next."""
    trial = TrialFolder(folder)
    begun = trial.begin(1)
    model = files.save(begun / "model", engine.model.state_dict(), engine.model.save_pretrained)
    digests = engine.save_state(begun / "state", begun / "model") if state else {}
    trial.commit(1, {"metrics": {"epoch": 1}}, digests, model)


def measured(engine: Engine, save: Save, folder: Path, state: bool) -> tuple[float, float, int]:
    """(wall seconds, processor seconds, bytes on the disk); a file with two names counts once."""
    wall, processor = time.perf_counter(), time.process_time()
    save(engine, folder, state)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    files = {stat.st_ino: stat.st_size for file in folder.rglob("*") if file.is_file() for stat in [file.stat()]}
    shutil.rmtree(folder)
    return wall, processor, sum(files.values())


def compared(name: str, precision: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Figures of one precision, by what is saved and by way."""
    workers = WorkersConfig.model_validate({"precision": precision})
    shape = {**PRESETS[name], "max_position_embeddings": 512}
    engine = Engine(LlamaForCausalLM(LlamaConfig(**shape)), workers, Group(), weight_decay=0.0)
    tokens = torch.arange(16)[None]
    engine.step([engine.model(input_ids=tokens, labels=tokens).loss], learning_rate=1e-5, count=1)
    ways: dict[str, Save] = {"plain": plainly, "letheon": partial(letheon, ModelFiles())}
    found: dict[str, Any] = {}
    for state in (True, False):
        runs: dict[str, list[tuple[float, float, int]]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, save in ways.items():
                runs[way].append(measured(engine, save, folder / "checkpoint", state))
        figures: dict[str, Any] = {
            way: {
                "wall_seconds": round(statistics.median(wall for wall, _, _ in run), 3),
                "processor_seconds": round(statistics.median(processor for _, processor, _ in run), 3),
                "bytes": run[0][2],
            }
            for way, run in runs.items()
        }
        ratios = {key: round(plain / figures["letheon"][key], 2) for key, plain in figures["plain"].items()}
        found["state and weights" if state else "weights"] = {**figures, "ratio": ratios}
    engine.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(PRESETS), default="smollm2")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.environ |= {"LOCAL_RANK": "0", "DS_ACCELERATOR": "cpu"}
        meeting = f"file://{folder}/meeting"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
        found = {
            precision: compared(arguments.model, precision, Path(folder), arguments.repeats)
            for precision in ("fp32", "bf16")
        }
        torch.distributed.destroy_process_group()
    for precision, kinds in found.items():
        for kind, figures in kinds.items():
            print(f"{precision}, {kind}: {figures}", file=sys.stderr)
    print(json.dumps({"benchmark": "checkpoints", "model": arguments.model, **found}))


if __name__ == "__main__":
    main()
