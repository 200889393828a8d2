"""`letheon evaluate`: chooses the benchmark, fraction and template of an evaluation, and prints its table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from letheon.cli.compare_logs import require_writable
from letheon.cli.tables import plain_table, six_digits
from letheon.common.counting import several
from letheon.common.errors import LetheonError, NotFound
from letheon.spec.model import SweepSpec

CARD = "letheon.json"
_COMPARABLE = ("benchmark", "forget_fraction", "evaluation")
"""Settings that two evaluations must share to be comparable, besides the template."""


def evaluate_model(
    folder: Path,
    spec: SweepSpec | None,
    fraction: float | None,
    out: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Evaluate as the folder's `letheon.json` says, or on the benchmark of `spec` at `fraction` (None: its largest).

    `out`: where to write the evaluation's rows. Forget quality needs the retain model's truth ratios, so the result
    has it only if the folder records them for the same evaluation.
    Raises NotFound (no model), LetheonError (no benchmark is known, or `out` cannot be written).
    """
    if not (folder / "config.json").is_file():
        raise NotFound(f"{folder}: is not a Hugging Face model folder; give one with a config.json")
    if out is not None:
        require_writable(out)
    if _recorded_card(folder).get("benchmark", {}).get("name") == "synthetic":
        return _measure_synthetic(folder, spec is not None or fraction is not None or out is not None)
    card = card_of(folder, spec, fraction)
    _silence_transformers()
    import torch

    threads = _idle_cpus()
    torch.set_num_threads(threads)
    name, forget = card["benchmark"]["name"], f"forget fraction {card['forget_fraction']:g}"
    say(f"evaluating {folder} on {name}, {forget}, with {several(threads, 'thread')} …")
    from trainables.jobs.evaluate_folder import evaluate_folder

    result: dict[str, Any] = evaluate_folder(folder, card, out)
    return result


def _idle_cpus() -> int:
    """OMP_NUM_THREADS if set, else the number of idle CPUs, at least 1.

    PyTorch's threads wait for each other, so one without a CPU of its own delays all: 84 s instead of 2 s on a busy
    machine.
    """
    preset = os.environ.get("OMP_NUM_THREADS", "")
    if preset.isdecimal() and int(preset):
        return int(preset)
    return max(1, len(os.sched_getaffinity(0)) - round(os.getloadavg()[0]))


def metrics_table(result: Mapping[str, Any]) -> Table:
    """One row per metric: the value of this model, and of the target and retain models where known."""
    others = {name: metrics for name, metrics in (result.get("beside") or {}).items() if metrics}
    table = plain_table("metric", "this model", *(f"{name} model" for name in others), right=True)
    for name, value in result["metrics"].items():
        table.add_row(name, *map(six_digits, (value, *(metrics.get(name) for metrics in others.values()))))
    return table


def verdict_line(result: Mapping[str, Any]) -> str | None:
    """The verdict and its reasons; None if the target model's metrics on the same rows are unknown."""
    found = result.get("verdict")
    return found and f"verdict: {found['name']}: {'; '.join(found['reasons'])}"


def _measure_synthetic(folder: Path, has_options: bool) -> dict[str, Any]:
    """Measure a checkpoint of the synthetic experiment, which is not a language model."""
    if has_options:
        raise LetheonError(
            f"{folder}: is from the synthetic experiment, which has one benchmark and no log; "
            "leave out --benchmark, --fraction and --out"
        )
    from trainables.synthetic.files import measure_folder

    return measure_folder(folder)


def _recorded_card(folder: Path) -> dict[str, Any]:
    file = folder / CARD
    card: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return card


def card_of(folder: Path, spec: SweepSpec | None, fraction: float | None) -> dict[str, Any]:
    """The settings for `trainables.jobs.evaluate_folder.evaluate_folder`. Raises LetheonError without a benchmark."""
    own = _recorded_card(folder)
    if spec is None:
        if not own:
            raise LetheonError(f"{folder}: has no {CARD} that names its benchmark; give --benchmark FILE")
        return own if fraction is None else _without_other_models(own, {**own, "forget_fraction": fraction})
    wanted = {
        "benchmark": spec.benchmark.model_dump(mode="json"),
        "forget_fraction": fraction or max(spec.fractions),
        "evaluation": spec.evaluation.model_dump(mode="json"),
        "precision": spec.trial.precision,
        "template": spec.model.template or own.get("template") or _template_of(folder),
        "verdict": spec.verdict.model_dump(mode="json"),
    }
    return _without_other_models(own, {**own, **wanted})


def _without_other_models(own: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """`wanted`, without the recorded numbers of other models if those are from a different evaluation."""
    if all(own.get(key) == wanted[key] for key in _COMPARABLE):
        return wanted
    return {key: value for key, value in wanted.items() if key not in ("yardstick", "target_utility", "beside")}


def _template_of(folder: Path) -> str:
    from transformers import AutoTokenizer

    from trainables.data.tokenization import pick_template

    return pick_template(AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False))


def _silence_transformers() -> None:
    """Turn off its progress bars and advice, which would mix with the command's output."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
