"""Weight files of the synthetic experiment: one per seed, and the checkpoint of an epoch.

A checkpoint has all that its metrics need (the three models), so it can be measured again anywhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.config import TrialConfig
from trainables.synthetic.data import DIMENSIONS, FEATURES
from trainables.synthetic.rules import alpha_of

MODEL = "model.safetensors"
CARD = "letheon.json"


def weights_file(folder: Path, seed: int) -> Path:
    """The file of a seed's model in a folder of prepared models."""
    return folder / f"seed-{seed}.safetensors"


def save_weights(folder: Path, seed: int, weights: Tensor) -> None:
    """Write the weights (128,) of a seed's model."""
    save_file({"weights": weights.contiguous()}, weights_file(folder, seed))


def load_weights(folder: Path, seeds: tuple[int, ...]) -> Tensor:
    """(seeds, 128)."""
    return torch.stack([load_file(weights_file(folder, seed))["weights"] for seed in seeds])


def save_checkpoint(
    folder: Path, config: TrialConfig, projection: Tensor, weights: Tensor, target: Tensor, retain: Tensor
) -> None:
    """A model folder: `model.safetensors` with projection (128, 16) and the weights (128,) of the three models."""
    folder.mkdir()
    tensors = {"projection": projection, "weights": weights, "target_weights": target, "retain_weights": retain}
    save_file({name: tensor.detach().clone() for name, tensor in tensors.items()}, folder / MODEL)
    hyper = config.hyperparameters
    card = {
        "benchmark": config.benchmark.model_dump(mode="json"),
        "forget_fraction": hyper.forget_fraction,
        "hyperparameters": hyper.model_dump(mode="json", exclude_none=True),
    }
    _write(folder / CARD, card)
    _write(folder / "config.json", {"model_type": "random_features", "inputs": DIMENSIONS, "features": FEATURES})


def measure_folder(folder: Path) -> dict[str, Any]:
    """Metrics of a checkpoint's folder, in the shape of `trainables.jobs.evaluate_folder.evaluate_folder`.

    Raises FileNotFoundError if it is not a checkpoint.
    """
    from trainables.config import BenchmarkConfig
    from trainables.synthetic.data import draw
    from trainables.synthetic.model import Yardstick

    card = json.loads((folder / CARD).read_text())
    tensors = {name: tensor.unsqueeze(0) for name, tensor in load_file(folder / MODEL).items()}
    seed, fraction = card["hyperparameters"]["seed"], card["forget_fraction"]
    problems = draw(alpha_of(BenchmarkConfig(**card["benchmark"])), (seed,), fraction)
    yardstick = Yardstick(problems, tensors["target_weights"], tensors["retain_weights"])
    metrics = yardstick.measure(tensors["weights"]).means()
    return {
        "model": str(folder),
        "benchmark": card["benchmark"],
        "forget_fraction": fraction,
        "metrics": metrics,
        "samples": [],
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True))
