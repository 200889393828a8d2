"""Evaluates a model folder outside of a sweep."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainables.config import BenchmarkConfig, EvaluationConfig, VerdictConfig
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.logs.write import open_unlearning_log
from trainables.evaluation.metrics.summary import compare
from trainables.evaluation.verdict import verdict
from trainables.model.copies import DTYPES
from trainables.model.load import load_model
from trainables.runtime.ranks import Group
from trainables.storage.manifest import write_json


def evaluate_folder(folder: Path, card: dict[str, Any] | None = None, log: Path | None = None) -> dict[str, Any]:
    """Evaluate a model folder in this process, on the benchmark in `card` (None: the folder's `letheon.json`).

    `log`: file for the whole evaluation, row by row, in open-unlearning's format. Raises FileNotFoundError if the
    folder has no `letheon.json` and `card` is None.
    """
    card = card or json.loads((folder / "letheon.json").read_text())
    model, tokenizer = load_model(str(folder), dtype=DTYPES[card["precision"]])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    split = load_benchmark(BenchmarkConfig(**card["benchmark"])).split(card["forget_fraction"])
    settings = EvaluationConfig(**card["evaluation"])
    group = Group(device=device)
    evaluation = evaluate(model.to(device).eval(), tokenizer, card["template"], split, settings, group)
    comparison: dict[str, float] = {}
    if "yardstick" in card:
        comparison = compare(evaluation, card["yardstick"], card["target_utility"], settings.guard)
    if log is not None:
        write_json(log, open_unlearning_log(evaluation.details, comparison or evaluation.metrics, split.evaluation))
    metrics = {**evaluation.metrics, **comparison}
    seconds = metrics.pop("eval_seconds")
    return {
        "model": str(folder),
        "benchmark": card["benchmark"],
        "forget_fraction": card["forget_fraction"],
        "metrics": metrics,
        "beside": card.get("beside", {}),
        "verdict": _verdict(metrics, card) if comparison else None,
        "seconds": seconds,
        "samples": list(evaluation.samples),
    }


def _verdict(metrics: dict[str, float], card: dict[str, Any]) -> dict[str, Any] | None:
    """By the sweep's own limits; None if the card has no target metrics to compare with."""
    target = card.get("beside", {}).get("target")
    return target and asdict(verdict(metrics, target, VerdictConfig(**card.get("verdict", {}))))
