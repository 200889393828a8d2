"""Rules for the trial section: DeepSpeed's configuration, files, GPUs, and what methods need of workers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from letheon.spec.model import SweepSpec, local_path, values_with_paths
from letheon.spec.source import KeyPath, Problem
from trainables.methods import Method

_SET_BY_SWEEP = {
    "train_batch_size": "set trial.batch_size or search it",
    "train_micro_batch_size_per_gpu": "set trial.micro_batch_size",
    "gradient_accumulation_steps": "it follows from batch_size, micro_batch_size and workers",
    "gradient_clipping": "it is fixed for every trial",
    "fp16": "set trial.precision: bf16",
    "bf16": "set trial.precision: bf16",
    "optimizer": "set search.learning_rate and trial.weight_decay",
    "scheduler": "set trial.warmup_epochs",
}
_FULLY_SHARDED = 3
"""The ZeRO stage in which no worker holds whole weights and gradients."""


def trial_problems(spec: SweepSpec) -> Iterator[Problem]:
    yield from _deepspeed_rules(spec.trial.deepspeed)
    yield from _method_rules(spec)
    yield from _gpu_rules(spec)
    yield from _refusals_rules(spec)
    yield from _memory_rules(spec)
    yield from _goldfish_rules(spec)
    if spec.evaluation.harness and importlib.util.find_spec("lm_eval") is None:
        rule = "needs the lm-evaluation-harness, which is not installed"
        yield Problem(("evaluation", "harness"), rule, "install letheon[harness], or remove it")


def _refusals_rules(spec: SweepSpec) -> Iterator[Problem]:
    path, file, chosen = ("trial", "refusals"), spec.trial.refusals, _chosen(spec)
    if file is None:
        return
    if not os.path.isfile(local_path(file)):
        yield Problem(path, "is not a file", "give a text file with one refusal per line, or null")
    elif chosen and not any(map(_reads_refusals, chosen)):
        rule = f"none of the chosen methods ({', '.join(method.name for method in chosen)}) reads refusals"
        having = ", ".join(method.name for method in spec.methods.values() if _reads_refusals(method))
        yield Problem(path, rule, f"remove it, or choose a method that does: {having}")


def _memory_rules(spec: SweepSpec) -> Iterator[Problem]:
    """Recipes other than `exact` exist only where the trial, not DeepSpeed, keeps what half precision needs."""
    trial = spec.trial
    if trial.memory not in ("auto", "exact") and (trial.precision != "bf16" or _zero_stage(spec)):
        rule = "needs precision bf16 and ZeRO stage 0"
        yield Problem(("trial", "memory"), rule, "set trial.precision: bf16 without a ZeRO stage, or memory: auto")


def _goldfish_rules(spec: SweepSpec) -> Iterator[Problem]:
    """Published code counts every token, of prompt and padding too where a mean is over them."""
    if spec.trial.compat != "none":
        for name in ("goldfish_forget", "goldfish_retain"):
            if name in spec.search:
                rule = f"leaves tokens out of a loss, and trial.compat {spec.trial.compat} counts them all"
                yield Problem(("search", name), rule, "remove it, or trial.compat")


def _gpu_rules(spec: SweepSpec) -> Iterator[Problem]:
    """GPU shares that Ray or NCCL would refuse only after everything has started."""
    share, path = spec.trial.gpus_per_worker, ("trial", "gpus_per_worker")
    if isinstance(share, str):
        return  # `auto` computes only shares that these rules allow
    if share > 1 and share != int(share):
        rule = "must be a whole number above 1: Ray gives a worker a share of one GPU or whole GPUs"
        yield Problem(path, rule, "give 1 or 2")
    if 0 < share < 1 and spec.trial.workers > 1:
        rule = f"{spec.trial.workers} workers of a trial could share a GPU, which NCCL refuses"
        yield Problem(path, rule, "give each worker a whole GPU, or set trial.workers: 1")


def _chosen(spec: SweepSpec) -> list[Method]:
    """The searched methods; unknown names are left out."""
    return [spec.methods[str(name)] for _, name in values_with_paths(spec, "method") if name in spec.methods]


def _reads_refusals(method: Method) -> bool:
    return method.alternative == "refusal" or method.retain == "preference"


def _zero_stage(spec: SweepSpec) -> Any:
    """The stage as written; 0 if the section is no mapping."""
    zero = spec.trial.deepspeed.get("zero_optimization", {})
    return zero.get("stage", 0) if isinstance(zero, dict) else 0


def _method_rules(spec: SweepSpec) -> Iterator[Problem]:
    stage = _zero_stage(spec)
    whole = [method.name for method in _chosen(spec) if method.needs_whole_gradients]
    if stage == _FULLY_SHARDED and whole:
        rule = f"{', '.join(whole)} must see whole gradients on every worker, which stage 3 shards"
        yield Problem(("trial", "deepspeed", "zero_optimization", "stage"), rule, "use stage 0, 1 or 2")
    if stage == _FULLY_SHARDED and spec.evaluation.gradient_norm:
        rule = "must see whole gradients on every worker, which ZeRO stage 3 shards"
        yield Problem(("evaluation", "gradient_norm"), rule, "use stage 0, 1 or 2, or leave it out")
    lines = [method.name for method in _chosen(spec) if method.line is not None]
    if spec.trial.lora is not None and lines:
        rule = f"{', '.join(lines)} scales a difference of weights, which adapters do not give"
        yield Problem(("trial", "lora"), rule, "leave lora out, or choose other methods")


def _deepspeed_rules(config: dict[str, Any]) -> Iterator[Problem]:
    path: KeyPath = ("trial", "deepspeed")
    for key, fix in _SET_BY_SWEEP.items():
        if key in config:
            yield Problem((*path, key), "is set by the sweep, not in DeepSpeed's configuration", f"remove it: {fix}")
    zero = config.get("zero_optimization", {})
    if not isinstance(zero, dict):
        yield Problem((*path, "zero_optimization"), "must be a mapping", "write {stage: 2}")
    elif zero.get("stage", 0) not in (0, 1, 2, 3) or isinstance(zero.get("stage"), bool):
        yield Problem((*path, "zero_optimization", "stage"), "must be 0, 1, 2 or 3", "0 shards nothing, 3 everything")
