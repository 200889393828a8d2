"""Makes what trials start from: base, target and retain models, and their baseline evaluations.

Plain fine-tuning with the same engine as the trials. Each result appears under its name only when it is whole,
and a job whose result exists does nothing. Which results a sweep needs, and what they are called, is not known here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainables.batching.rows import Encoded
from trainables.batching.schedule import learning_rate, shuffled
from trainables.data.benchmarks.registry import load_benchmark
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics.record import Evaluation
from trainables.evaluation.metrics.summary import compare, yardstick
from trainables.inputs.cache import WorkerCache, encode_rows
from trainables.jobs.specs import BaseJob, BaselineJob, FinetuneJob
from trainables.model.load import (
    load_model,
    load_smollm2,
    save_model,
    texts_of,
    tiny_model,
    tiny_tokenizer,
)
from trainables.model.scoring import batched
from trainables.runtime.channel import first
from trainables.runtime.ranks import Group
from trainables.storage.atomic_folder import finished_folder, is_finished
from trainables.storage.manifest import write_json
from trainables.training.engine import Engine
from trainables.training.plain_step import plain_step


def make_base(job: BaseJob) -> None:
    """Write the base model's folder."""
    folder = Path(job.folder)
    if is_finished(folder):
        return
    with finished_folder(folder, job.model_dump(mode="json")) as partial:
        if job.base == "tiny":
            benchmark = load_benchmark(job.benchmark)
            tokenizer = tiny_tokenizer(texts_of([*benchmark.full, *benchmark.general]))
            model: Any = tiny_model(tokenizer, job.seed)
        else:
            model, tokenizer = load_smollm2()
        save_model(partial, model, tokenizer)


def finetune(job: FinetuneJob, group: Group) -> dict[str, float]:
    """Train a target or retain model. Returns seconds and the last epoch's mean loss."""
    folder = Path(job.folder)
    if first(group, lambda: is_finished(folder)):
        return {}
    started = time.monotonic()
    model, tokenizer = load_model(job.base, job.revision)
    rows = _training_rows(job, tokenizer)
    recipe = job.recipe
    engine = Engine(
        model,
        job.workers,
        group,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        gradient_clip=recipe.gradient_clip,
    )
    loss = _train(engine, rows, job, group, int(tokenizer.pad_token_id))
    weights = engine.weights()
    facts = {**job.model_dump(mode="json"), "loss": loss, "seconds": time.monotonic() - started}
    if weights is not None:
        with finished_folder(folder, facts) as unfinished:
            save_model(unfinished, engine.model, tokenizer, weights)
    engine.close()
    group.barrier()
    return {"seconds": facts["seconds"], "loss": loss}


def _training_rows(job: FinetuneJob, tokenizer: Any) -> list[Encoded]:
    benchmark = load_benchmark(job.benchmark)
    rows = benchmark.full if job.fraction is None else benchmark.split(job.fraction).retain
    general = benchmark.general if job.with_general else ()
    return list(encode_rows(job.template, tokenizer, [*rows, *general], job.compat))


def _train(engine: Engine, rows: Sequence[Encoded], job: FinetuneJob, group: Group, pad_id: int) -> float:
    """Token-mean negative log-likelihood. Returns the mean loss of the last epoch."""
    recipe = job.recipe
    torch.manual_seed(recipe.seed)
    engine.model.train()
    per_epoch = math.ceil(len(rows) / recipe.batch_size)
    total = per_epoch * recipe.epochs
    losses: list[float] = []
    hidden = pad_id if job.compat == "open_unlearning" else None
    batch = partial(batched, pad_id=pad_id, device=group.device, layout=engine.layout, hidden=hidden)
    warmup = round(recipe.warmup_fraction * total)
    for epoch in range(1, recipe.epochs + 1):
        losses = []
        for i, indices in enumerate(shuffled(len(rows), recipe.batch_size, recipe.seed, epoch)):
            rate = learning_rate((epoch - 1) * per_epoch + i, total, warmup, recipe.learning_rate, recipe.decay)
            some = [rows[j] for j in indices]
            losses += plain_step(engine, some, batch, group, rate, job.workers.micro_batch_size)
    return math.fsum(group.gather(losses)) / per_epoch


def make_baseline(job: BaselineJob, resident: WorkerCache, group: Group) -> None:
    """Evaluate both models on the fraction's sets, cache the reference table, and write one JSON file last."""
    file = Path(job.file)
    if first(group, file.exists):
        return
    split = resident.split(job.benchmark, job.fraction)

    def evaluated(folder: str) -> Evaluation:
        model = resident.frozen_model(folder, job.workers.precision, str(group.device))
        tokenizer = resident.model(folder).tokenizer
        return evaluate(model, tokenizer, job.template, split, job.evaluation, group)

    target, retain = evaluated(job.target), evaluated(job.retain)
    guard = job.evaluation.guard
    ruler = yardstick(retain.details, guard)
    utility = target.metrics.get("model_utility")
    if group.rank == 0:
        forget = encode_rows(job.template, resident.model(job.target).tokenizer, split.forget, job.compat)
        resident.reference_table(job, forget, str(group.device))
        file.parent.mkdir(parents=True, exist_ok=True)
        both = {
            name: {**asdict(evaluation), "metrics": compare(evaluation, ruler, utility, guard)}
            for name, evaluation in (("target", target), ("retain", retain))
        }
        write_json(file, {**both, "yardstick": ruler})
    # Trials follow in this process, and only some of them load a second model onto the device.
    resident.clear_device()
    resident.drop("model", job.retain)
    group.barrier()
