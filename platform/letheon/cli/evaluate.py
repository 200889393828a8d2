"""`letheon evaluate`: the benchmark, fraction and template of an evaluation, and its table. Computes no metric."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from letheon.cli.compare_logs import check_out
from letheon.cli.tables import plain_table
from letheon.common.counting import several
from letheon.common.errors import LetheonError, NotFound
from letheon.spec.model import SweepSpec

CARD = "letheon.json"
_CHOICE = ("benchmark", "forget_fraction", "evaluation")
"""What two evaluations must share to be comparable, besides the template."""


def evaluate_model(
    folder: Path,
    spec: SweepSpec | None,
    fraction: float | None,
    out: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """As the folder's own `letheon.json` says, or with the benchmark of `spec` at `fraction` (its largest if None).

    `out`: a file for the evaluation's log, row by row. Forget quality needs the retain model's truth ratios, so it is
    there only where the two agree.
    Raises NotFound (no model), LetheonError (nothing names a benchmark).
    """
    if not (folder / "config.json").is_file():
        raise NotFound(f"{folder}: is not a folder of a Hugging Face model; give one with a config.json")
    if out is not None:
        check_out(out)
    if _own_card(folder).get("benchmark", {}).get("name") == "synthetic":
        return _measured(folder, spec is not None or fraction is not None or out is not None)
    card = card_of(folder, spec, fraction)
    _silence()
    import torch

    threads = threads_to_use()
    torch.set_num_threads(threads)
    name, of = card["benchmark"]["name"], f"forget fraction {card['forget_fraction']:g}"
    say(f"evaluating {folder} on {name}, {of}, with {several(threads, 'thread')} …")
    from trainables.jobs.evaluate_folder import evaluate_folder

    result: dict[str, Any] = evaluate_folder(folder, card, out)
    return result


def threads_to_use() -> int:
    """As many as the environment says, else as many as there are CPUs that nobody uses now: PyTorch's threads wait for
    each other, so those without a CPU of their own hold up all others (84 s in place of 2 beside other work)."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return max(1, len(os.sched_getaffinity(0)) - round(os.getloadavg()[0]))


def metrics_table(result: Mapping[str, Any]) -> Table:
    """One line per metric; beside the model's own value those of the target and the retain model, as far as known."""
    beside = {name: of for name, of in (result.get("beside") or {}).items() if of}
    table = plain_table("metric", "this model", *(f"{name} model" for name in beside), right=True)
    for name, value in result["metrics"].items():
        table.add_row(name, *(_figure(one) for one in (value, *(of.get(name) for of in beside.values()))))
    return table


def verdict_line(result: Mapping[str, Any]) -> str | None:
    """What the metrics come to; None where nothing says how the target model does on the same rows."""
    found = result.get("verdict")
    return found and f"verdict: {found['name']}: {'; '.join(found['reasons'])}"


def _figure(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _measured(folder: Path, has_options: bool) -> dict[str, Any]:
    """Of a checkpoint of the synthetic experiment, which is no language model."""
    if has_options:
        raise LetheonError(
            f"{folder}: is of the synthetic experiment, with no other benchmark, fraction or log; "
            "leave out --benchmark, --fraction and --out"
        )
    from trainables.synthetic.files import measure_folder

    return measure_folder(folder)


def _own_card(folder: Path) -> dict[str, Any]:
    file = folder / CARD
    card: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return card


def card_of(folder: Path, spec: SweepSpec | None, fraction: float | None) -> dict[str, Any]:
    """What `trainables.jobs.evaluate_folder.evaluate_folder` must know of the evaluation."""
    own = _own_card(folder)
    if spec is None:
        if not own:
            raise LetheonError(f"{folder}: has no {CARD} that names its benchmark; give --benchmark SPACE")
        return own if fraction is None else _comparable(own, {**own, "forget_fraction": fraction})
    wanted = {
        "benchmark": spec.benchmark.model_dump(mode="json"),
        "forget_fraction": fraction or max(spec.fractions),
        "evaluation": spec.evaluation.model_dump(mode="json"),
        "precision": spec.trial.precision,
        "template": spec.model.template or own.get("template") or _template_of(folder),
        "verdict": spec.verdict.model_dump(mode="json"),
    }
    return _comparable(own, {**own, **wanted})


def _comparable(own: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Without the numbers of other models if they belong to another evaluation."""
    if all(own.get(key) == wanted[key] for key in _CHOICE):
        return wanted
    return {key: value for key, value in wanted.items() if key not in ("yardstick", "target_utility", "beside")}


def _template_of(folder: Path) -> str:
    from transformers import AutoTokenizer

    from trainables.data.tokenization import pick_template

    return pick_template(AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False))


def _silence() -> None:
    """Transformers' progress bars and advice are not the command's output."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
