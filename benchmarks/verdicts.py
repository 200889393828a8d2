"""Checks the verdicts: models that must be called forgotten are, and models that must not are not.

    python benchmarks/verdicts.py [--benchmark tofu --path DIR] [--fractions 0.1 0.2] [--seeds N] [--models DIR]

Retain models of several seeds are compared with each other: each must be "forgotten", because none has seen what must
go. Target models must be "not forgotten". A target model is trained by gradient ascent (`ga`) until it is destroyed: on
the way it may be anything but "forgotten" while its answers fall apart. Tiny models, trained here; minutes per seed on
one core. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.batching.schedule import epoch_steps
from trainables.config import (
    TINY_RECIPE,
    BenchmarkConfig,
    EvaluationConfig,
    Hyperparameters,
    VerdictConfig,
    WorkersConfig,
)
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference
from trainables.evaluation.verdict import verdict
from trainables.inputs.cache import encode_rows
from trainables.inputs.micro_batches import MicroBatcher, StepData
from trainables.jobs.prepare import finetune, make_base
from trainables.jobs.specs import BaseJob, FinetuneJob
from trainables.methods import METHODS
from trainables.model.load import load_model
from trainables.runtime.ranks import Group
from trainables.training.engine import Engine
from trainables.training.step import Stepper

EPOCHS = 16
RATE, ASCENT_EPOCHS, BATCH = 3e-4, 8, 8
SHOWN = (
    *("forget_quality", "loss_quality", "privleak", "loss_shift", "stammer_excess", "gibberish_excess"),
    *("length_excess", "utility_ratio"),
)
TEMPLATE = "plain"


@dataclass(frozen=True)
class Bench:
    """What is measured on, and where models are kept."""

    benchmark: BenchmarkConfig
    settings: EvaluationConfig
    models: Path
    group: Group

    def made(self, fraction: float | None, seed: int) -> Path:
        """The folder of a target (None) or retain model."""
        folder = self.models / f"{'target' if fraction is None else f'retain-{fraction:g}'}-{seed}"
        base = self.models / "base"
        make_base(BaseJob(base="tiny", benchmark=self.benchmark, folder=str(base)))
        recipe = TINY_RECIPE.model_copy(update={"epochs": EPOCHS, "seed": seed})
        job = FinetuneJob(
            base=str(base),
            benchmark=self.benchmark,
            fraction=fraction,
            with_general=True,
            recipe=recipe,
            template=TEMPLATE,
            workers=WorkersConfig(),
            folder=str(folder),
        )
        finetune(job, self.group)
        return folder

    def evaluated(self, folder: Path, fraction: float) -> Evaluation:
        model, tokenizer = load_model(str(folder))
        return self.evaluate(model.eval(), tokenizer, fraction)

    def evaluate(self, model: Any, tokenizer: Any, fraction: float) -> Evaluation:
        split = load_benchmark(self.benchmark).split(fraction)
        return evaluate(model, tokenizer, TEMPLATE, split, self.settings, self.group)

    def ascended(self, folder: Path, fraction: float) -> Iterator[Evaluation]:
        """After every half epoch of gradient ascent."""
        model, tokenizer = load_model(str(folder))
        rows = encode_rows(TEMPLATE, tokenizer, load_benchmark(self.benchmark).split(fraction).forget)
        engine = Engine(model, WorkersConfig(), self.group, weight_decay=0.0)
        data = StepData(forget=rows, retain=(), pad_id=int(tokenizer.pad_token_id))
        hyper = Hyperparameters(method="ga", forget_fraction=fraction, learning_rate=RATE)
        stepper = Stepper(engine, hyper, MicroBatcher(METHODS["ga"], data, self.group, None, layout=engine.layout))
        for epoch in range(1, ASCENT_EPOCHS + 1):
            steps = epoch_steps(len(rows), 0, BATCH, 0, epoch)
            for i, step in enumerate(steps, start=1):
                engine.model.train()
                stepper.run(step, epoch, RATE)
                if i in (len(steps) // 2, len(steps)):
                    engine.model.eval()
                    yield self.evaluate(engine.model, tokenizer, fraction)
        engine.close()


def controls(bench: Bench, fraction: float, seeds: int) -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
    """(kind, metrics, the target's metrics) of every comparison."""
    retain = [bench.evaluated(bench.made(fraction, seed), fraction) for seed in range(1, seeds + 1)]
    folders = [bench.made(None, seed) for seed in (1, 2)]
    targets = [bench.evaluated(folder, fraction) for folder in folders]
    rulers = [retain_reference(each.details) for each in retain]
    utility = targets[0].metrics["model_utility"]
    target = compare(targets[0], rulers[0], utility)
    for i, each in enumerate(retain):
        for ruler in rulers[:i] + rulers[i + 1 :]:
            yield "retain model, another seed", compare(each, ruler, utility), target
    for each in targets:
        yield from (("target model", compare(each, ruler, utility), target) for ruler in rulers)
    for each in bench.ascended(folders[0], fraction):
        yield "ascended", compare(each, rulers[0], utility), target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", choices=["fictional", "tofu"], default="fictional")
    parser.add_argument("--path", help="for tofu: the folder of its files")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.2])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--models", type=Path, help="folder to keep the models in; default: a temporary one")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    os.environ |= {"LOCAL_RANK": "0", "DS_ACCELERATOR": "cpu"}
    with tempfile.TemporaryDirectory() as temporary:
        torch.distributed.init_process_group("gloo", init_method=f"file://{temporary}/group", rank=0, world_size=1)
        benchmark = BenchmarkConfig(name=asked.benchmark, path=asked.path, people=20, evaluation_rows=40)
        settings = EvaluationConfig(max_new_tokens=32 if asked.benchmark == "fictional" else 64, batch_tokens=2048)
        bench = Bench(benchmark, settings, asked.models or Path(temporary), Group())
        report(bench, asked.fractions, asked.seeds)
        torch.distributed.destroy_process_group()


def report(bench: Bench, fractions: list[float], seeds: int) -> None:
    """A row for every comparison, and the counts."""
    print("| fraction | model | verdict |", " | ".join(SHOWN), "|")
    print("|---|---|---|", "---|" * len(SHOWN), sep="")
    counts: dict[str, Counter[str]] = {}
    for fraction in fractions:
        for kind, metrics, target in controls(bench, fraction, seeds):
            found = verdict(metrics, target, VerdictConfig())
            counts.setdefault(kind, Counter())[found.name] += 1
            values = " | ".join(f"{metrics.get(name, float('nan')):.3g}" for name in SHOWN)
            print(f"| {fraction:g} | {kind} | {found.name} | {values} |", flush=True)
    print(json.dumps({"benchmark": bench.benchmark.name, "verdicts": {kind: dict(n) for kind, n in counts.items()}}))


if __name__ == "__main__":
    main()
