"""Makes what trials start from: base, target and retain models, and their baseline evaluations.

Plain fine-tuning with the same engine as the trials; long ones continue after a crash (`resume_point`). Results are
written atomically; a job whose result exists does nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainables.batching.goldfish import goldfish
from trainables.batching.rows import Encoded
from trainables.batching.schedule import learning_rate, shuffled
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, retain_reference, summarise
from trainables.inputs.cache import WorkerCache, encode_rows
from trainables.jobs.resume_point import ResumePoints
from trainables.jobs.retain_log import log_note, read_retain_log
from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob
from trainables.model.copies import DTYPES
from trainables.model.load import (
    load_model,
    load_smollm2,
    save_model,
    texts_of,
    tiny_model,
    tiny_tokenizer,
)
from trainables.model.scoring import make_batch
from trainables.runtime.channel import broadcast_from_rank0
from trainables.runtime.progress import Stage, within
from trainables.runtime.ranks import Group
from trainables.self_check.layers import prove_layers
from trainables.storage.atomic_folder import atomic_folder, is_finished
from trainables.storage.manifest import write_json
from trainables.training.engine import Engine
from trainables.training.plain_step import plain_step


def make_base(job: BaseJob) -> None:
    """Write the base model's folder."""
    folder = Path(job.folder)
    if is_finished(folder):
        return
    with atomic_folder(folder, job.model_dump(mode="json")) as partial:
        if job.base == "tiny":
            benchmark = load_benchmark(job.benchmark)
            tokenizer = tiny_tokenizer(texts_of([*benchmark.full, *benchmark.general]), job.size)
            model: Any = tiny_model(tokenizer, job.seed, job.size)
        else:
            model, tokenizer = load_smollm2()
        save_model(partial, model, tokenizer)


def finetune(job: FinetuneJob, group: Group) -> dict[str, float]:
    """Train a target or retain model. Returns seconds and the last epoch's mean loss; nothing if it exists."""
    folder = Path(job.folder)
    if broadcast_from_rank0(group, lambda: is_finished(folder)):
        return {}
    tuning = FineTuning(job, group)
    engine, rows = tuning.engine, tuning.rows
    points = ResumePoints(folder, job.model_dump(mode="json"), engine, group)
    loss = _train(tuning, points)
    weights = engine.weights()
    facts = {**job.model_dump(mode="json"), "rows": len(rows), "loss": loss, "seconds": points.seconds}
    Stage("saving")
    if weights is not None:
        with atomic_folder(folder, facts) as unfinished:
            save_model(unfinished, engine.model, tuning.tokenizer, weights)
        points.clear()
    engine.close()
    group.barrier()
    return {"seconds": facts["seconds"], "loss": loss}


class FineTuning:
    """A model in fine-tuning on this rank, before its first step. `rows`: what it is trained on."""

    def __init__(self, job: FinetuneJob, group: Group) -> None:
        self.job, self.group = job, group
        model, self.tokenizer = load_model(job.base, job.revision)
        self.rows = _training_rows(job, self.tokenizer)
        prove_layers(model, self.rows, DTYPES[job.workers.precision], group)
        recipe = job.recipe
        self.engine = Engine(
            model,
            job.workers,
            group,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            gradient_clip=recipe.gradient_clip,
        )
        self.per_epoch = math.ceil(len(self.rows) / recipe.batch_size)

    def steps(self, done: int = 0) -> Iterator[tuple[int, list[float]]]:
        """Take step after step to the end, minimising the mean negative log-likelihood per token.

        Yields each step's number of rows and this rank's losses. `done`: steps that an earlier process took.
        """
        job, recipe, engine = self.job, self.job.recipe, self.engine
        engine.model.train()
        total = self.per_epoch * recipe.epochs
        pad_id, warmup = int(self.tokenizer.pad_token_id), round(recipe.warmup_fraction * total)
        hidden = pad_id if job.compat == "open_unlearning" else None
        batch = partial(make_batch, pad_id=pad_id, device=self.group.device, layout=engine.layout, hidden=hidden)
        stage = Stage("training", total, done)
        order = partial(shuffled, len(self.rows), recipe.batch_size, recipe.seed)
        steps = [indices for epoch in range(1, recipe.epochs + 1) for indices in order(epoch)]
        for step in range(done, total):
            rate = learning_rate(step, total, warmup, recipe.learning_rate, recipe.decay)
            rows = [self.rows[j] for j in steps[step]]
            yield len(rows), plain_step(engine, rows, batch, self.group, rate, job.workers.micro_batch_size, stage)


def _training_rows(job: FinetuneJob, tokenizer: Any) -> list[Encoded]:
    benchmark = load_benchmark(job.benchmark)
    rows = benchmark.full if job.fraction is None else benchmark.split(job.fraction).retain
    general = benchmark.general if job.with_general else ()
    encoded = encode_rows(job.template, tokenizer, [*rows, *general], job.compat)
    return list(goldfish(encoded, job.recipe.goldfish))


def _train(tuning: FineTuning, points: ResumePoints) -> float:
    """Take all steps that are left. Returns the last epoch's mean loss."""
    torch.manual_seed(tuning.job.recipe.seed)
    point, per_epoch = points.restore(), tuning.per_epoch
    losses = point.losses
    for step, (_, found) in enumerate(tuning.steps(point.step), point.step):
        losses = (losses if step % per_epoch else []) + found
        points.save_if_due(step + 1, losses, epoch_ends=(step + 1) % per_epoch == 0)
    return math.fsum(tuning.group.gather(losses)) / per_epoch


def make_baseline(job: BaselineJob, cache: WorkerCache, group: Group) -> None:
    """Evaluate both models on the fraction's sets, cache the reference table and, last, write one JSON file."""
    file = Path(job.file)
    if broadcast_from_rank0(group, file.exists):
        return
    started, split = time.monotonic(), cache.split(job.benchmark, job.fraction)

    def evaluated(name: str, folder: str) -> Evaluation:
        model = cache.frozen_model(folder, job.workers.precision, str(group.device))
        tokenizer = cache.model(folder).tokenizer
        with within(name):
            return evaluate(model, tokenizer, job.template, split, job.evaluation, group)

    target, guard = evaluated("target model", job.target), job.evaluation.guard
    if job.retain_is_log:
        details = read_retain_log(Path(job.retain), split)
        retain, note = Evaluation(summarise(details, guard), details, ()), {"note": log_note(details)}
    else:
        retain, note = evaluated("retain model", job.retain), {}
    reference = retain_reference(retain.details, guard)
    utility = target.metrics.get("model_utility")
    if group.rank == 0:
        forget = encode_rows(job.template, cache.model(job.target).tokenizer, split.forget, job.compat)
        cache.reference_table(job, forget, str(group.device))
        file.parent.mkdir(parents=True, exist_ok=True)
        both = {
            name: {**asdict(evaluation), "metrics": compare(evaluation, reference, utility, guard)}
            for name, evaluation in (("target", target), ("retain", retain))
        }
        made = {
            "target": Path(job.target).name,
            "rows": sum(len(rows.rows) for rows in split.evaluation.values()),
            "seconds": time.monotonic() - started,
            "workers": job.workers.model_dump(mode="json"),
        }
        write_json(file, {**both, **note, "yardstick": reference, "made": made})
    # Trials follow in this process, and most of them need no second model on the device.
    cache.clear_device()
    cache.drop("model", job.retain)
    group.barrier()
