"""Tasks of the lm-evaluation-harness as further utility metrics of a loaded model.

The harness is an optional extra, letheon[harness]; it is imported only if there are tasks to run.
"""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trainables.runtime.progress import Stage

MAIN_METRICS = ("acc_norm", "acc", "exact_match", "f1", "bleu", "word_perplexity")
"""The first of these that a task has is reported, else its first number."""


def harness_key(task: str) -> str:
    """The metric name of a task or group of tasks."""
    return f"harness_{task}"


def harness_metrics(
    model: Any, tokenizer: Any, tasks: Sequence[str], batch_size: int = 8, task_manager: Any = None
) -> dict[str, float]:
    """`harness_<task>` for each task or group of tasks, with the harness's own prompts and shot counts; NaN for a task
    without a number.

    Every rank runs all tasks in the same order, which gathers sharded weights in step. Random states are restored,
    since the harness sets seeds. Raises ValueError if the harness is not installed or a task is unknown.
    """
    if not tasks:
        return {}
    evaluator, wrapper = _harness()
    Stage("lm-evaluation-harness")
    with _restored_random_states():
        try:
            found = evaluator.simple_evaluate(
                model=wrapper(pretrained=model, tokenizer=tokenizer, batch_size=batch_size),
                tasks=list(tasks),
                bootstrap_iters=0,
                log_samples=False,
                task_manager=task_manager,
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"harness={list(tasks)}: {error}; must be tasks that `lm-eval ls tasks` lists") from error
    results = {} if found is None else found["results"]
    return {harness_key(task): main_metric(results.get(task, {})) for task in tasks}


def main_metric(results: Mapping[str, Any]) -> float:
    """The main number of one task's results, whose keys are `metric,filter`; NaN if there is no number."""
    numbers: dict[str, float] = {}
    for key, value in results.items():
        if isinstance(value, (int, float)) and "," in key and "_stderr" not in key:
            numbers.setdefault(key.partition(",")[0], float(value))
    return next((numbers[name] for name in (*MAIN_METRICS, *numbers) if name in numbers), math.nan)


def _harness() -> tuple[Any, Any]:
    try:
        return importlib.import_module("lm_eval.evaluator"), importlib.import_module("lm_eval.models.huggingface").HFLM
    except ImportError as error:
        raise ValueError(
            f"evaluation.harness: the lm-evaluation-harness is not installed ({error}); install letheon[harness] or "
            "remove harness"
        ) from error


@contextmanager
def _restored_random_states() -> Iterator[None]:
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
