"""Makes what trials start from: base, target and retain models, and their baseline evaluations.

Plain fine-tuning with the same engine as the trials; long ones continue after a crash (`resume_point`). Results are
written atomically; a job whose result exists does nothing.
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
    model, tokenizer = load_model(job.base, job.revision)
    rows = _training_rows(job, tokenizer)
    recipe = job.recipe
    prove_layers(model, rows, DTYPES[job.workers.precision], group)
    engine = Engine(
        model,
        job.workers,
        group,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        gradient_clip=recipe.gradient_clip,
    )
    points = ResumePoints(folder, job.model_dump(mode="json"), engine, group)
    loss = _train(engine, rows, job, group, int(tokenizer.pad_token_id), points)
    weights = engine.weights()
    facts = {**job.model_dump(mode="json"), "rows": len(rows), "loss": loss, "seconds": points.seconds}
    Stage("saving")
    if weights is not None:
        with atomic_folder(folder, facts) as unfinished:
            save_model(unfinished, engine.model, tokenizer, weights)
        points.clear()
    engine.close()
    group.barrier()
    return {"seconds": facts["seconds"], "loss": loss}


def _training_rows(job: FinetuneJob, tokenizer: Any) -> list[Encoded]:
    benchmark = load_benchmark(job.benchmark)
    rows = benchmark.full if job.fraction is None else benchmark.split(job.fraction).retain
    general = benchmark.general if job.with_general else ()
    return list(encode_rows(job.template, tokenizer, [*rows, *general], job.compat))


def _train(
    engine: Engine, rows: Sequence[Encoded], job: FinetuneJob, group: Group, pad_id: int, points: ResumePoints
) -> float:
    """Minimise the mean negative log-likelihood per token. Returns the last epoch's mean loss."""
    recipe = job.recipe
    torch.manual_seed(recipe.seed)
    engine.model.train()
    per_epoch = math.ceil(len(rows) / recipe.batch_size)
    total = per_epoch * recipe.epochs
    hidden = pad_id if job.compat == "open_unlearning" else None
    batch = partial(make_batch, pad_id=pad_id, device=group.device, layout=engine.layout, hidden=hidden)
    warmup = round(recipe.warmup_fraction * total)
    point = points.restore()
    losses, stage = point.losses, Stage("training", total, point.step)
    order = partial(shuffled, len(rows), recipe.batch_size, recipe.seed)
    steps = [indices for epoch in range(1, recipe.epochs + 1) for indices in order(epoch)]
    for step in range(point.step, total):
        losses = losses if step % per_epoch else []
        rate = learning_rate(step, total, warmup, recipe.learning_rate, recipe.decay)
        step_rows = [rows[j] for j in steps[step]]
        losses += plain_step(engine, step_rows, batch, group, rate, job.workers.micro_batch_size, stage)
        points.save_if_due(step + 1, losses, epoch_ends=(step + 1) % per_epoch == 0)
    return math.fsum(group.gather(losses)) / per_epoch


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
