"""Metrics of a model folder: chooses the benchmark, fraction and template of its evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.api.html import heading, lines, page, table
from letheon.common.counting import several
from letheon.common.errors import LetheonError, NotFound
from letheon.common.numbers import short
from letheon.spec.model import SweepSpec

if TYPE_CHECKING:
    import pandas as pd

CARD = "letheon.json"
_COMPARABLE = ("benchmark", "forget_fraction", "evaluation")
"""Settings that two evaluations must share to be comparable, besides the template."""


@dataclass(frozen=True)
class Evaluation:
    """What a model folder measured.

    Attributes:
        result: what `letheon evaluate --json` prints.
    """

    result: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """Metric -> value; docs/metrics.md has them and their units."""
        return dict(self.result["metrics"])

    @property
    def verdict(self) -> str | None:
        """Whether it has forgotten; None if the target model's metrics on the same rows are not known."""
        found = self.result.get("verdict")
        return found and str(found["name"])

    def frame(self) -> pd.DataFrame:
        """One row per metric; columns: this model, and the target and retain models where they are known."""
        import pandas as pd

        others = {f"{name} model": metrics for name, metrics in (self.result.get("beside") or {}).items() if metrics}
        frame = pd.DataFrame({"this model": self.metrics, **others})
        return frame.reindex(list(self.metrics)).rename_axis("metric")

    def __repr__(self) -> str:
        return f"Evaluation({len(self.metrics)} metrics, verdict: {self.verdict or 'not known'})"

    def _repr_html_(self) -> str:
        frame, found = self.frame().astype(object), self.result.get("verdict")
        frame = frame.where(frame.notna(), None)
        top = "" if not found else heading("", found["name"], "") + lines(found["reasons"])
        rows = ([str(name), *(short(value, 4) for value in row)] for name, *row in frame.itertuples(name=None))
        return page(top, table(("metric", *frame.columns), rows))


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
    threads = _idle_cpus()
    name, forget = card["benchmark"]["name"], f"forget fraction {card['forget_fraction']:g}"
    say(f"evaluating {folder} on {name}, {forget}, with {several(threads, 'thread')} …")
    with _libraries(threads):
        from trainables.jobs.evaluate_folder import evaluate_folder

        result: dict[str, Any] = evaluate_folder(folder, card, out)
    return result


@contextmanager
def _libraries(threads: int) -> Iterator[None]:
    """PyTorch with that many threads, and Transformers without progress bars and advice, within the block."""
    import torch
    from transformers.utils import logging

    before, verbosity, bars = torch.get_num_threads(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    torch.set_num_threads(threads)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        torch.set_num_threads(before)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _idle_cpus() -> int:
    """OMP_NUM_THREADS if set, else the number of idle CPUs, at least 1.

    PyTorch's threads wait for each other, so one without a CPU of its own delays all: 84 s instead of 2 s on a busy
    machine.
    """
    preset = os.environ.get("OMP_NUM_THREADS", "")
    if preset.isdecimal() and int(preset):
        return int(preset)
    return max(1, len(os.sched_getaffinity(0)) - round(os.getloadavg()[0]))


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


def require_writable(file: Path) -> None:
    """Raises LetheonError unless `file` can be a file in an existing folder. Call before a long evaluation."""
    if file.is_dir() or not file.parent.is_dir():
        problem = "is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise LetheonError(f"--out {file}: {problem}; name a file in a folder that exists")
