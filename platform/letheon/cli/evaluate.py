"""`letheon evaluate`: the benchmark, fraction and template of an evaluation. The metrics are computed elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from letheon.cli.logs import check_out
from letheon.errors import LetheonError, NotFound
from letheon.spec import SweepSpec

CARD = "letheon.json"
_CHOICE = ("benchmark", "forget_fraction", "evaluation")
"""What two evaluations must share to be comparable, besides the template."""


def evaluate_model(
    folder: Path, spec: SweepSpec | None, fraction: float | None, out: Path | None = None
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
    from trainables.prepare import evaluate_folder

    result: dict[str, Any] = evaluate_folder(folder, card, out)
    return result


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
    """What `trainables.prepare.evaluate_folder` must know of the evaluation."""
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
    }
    return _comparable(own, {**own, **wanted})


def _comparable(own: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Without the retain model's numbers if they belong to another evaluation."""
    if all(own.get(key) == wanted[key] for key in _CHOICE):
        return wanted
    return {key: value for key, value in wanted.items() if key not in ("yardstick", "target_utility")}


def _template_of(folder: Path) -> str:
    from transformers import AutoTokenizer

    from trainables.data.template import pick_template

    return pick_template(AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False))


def _silence() -> None:
    """Transformers' progress bars and advice are not the command's output."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
