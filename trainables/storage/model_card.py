"""The model card beside a checkpoint's weights: README.md, as Hugging Face reads it. Pure, and loads no torch.

Written by the trial with the weights, so that it is one of the files of their manifest. What comes later (audits, where
it is registered) is in the records. Names no paths: a card travels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CARD = "README.md"
_COLUMNS = ("this checkpoint", "target model", "retain model")
_NOT_SHOWN = ("epoch", "step", "loss", "learning_rate", "multiplier")
_SECONDS = ("_seconds", "_per_second", "_bytes")
_PATHS = ("path", "forget", "retain", "utility", "holdout")

LOAD = """\
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)"""
LOAD_TENSORS = """\
from safetensors.torch import load_file
tensors = load_file(f"{FOLDER}/model.safetensors")"""


@dataclass(frozen=True)
class Forgotten:
    """What had to go. `benchmark`: its settings, `rows`: how many rows, `digest`: SHA-256 of their content."""

    benchmark: Mapping[str, Any]
    fraction: float
    rows: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Made:
    """How. `recipe`: hyper-parameters, `settings`: of the run (precision, template, workers, …); None is left out."""

    recipe: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """Metrics of the checkpoint, and of the target and retain model measured alike; and the verdict in words."""

    checkpoint: Mapping[str, Any]
    target: Mapping[str, Any]
    retain: Mapping[str, Any]
    verdict: str = "cannot say"


def model_card(trial: str, epoch: int, forgotten: Forgotten, made: Made, measured: Measured, load: str = LOAD) -> str:
    """Markdown with a front matter. `load`: Python that loads the folder FOLDER."""
    method = str(made.recipe.get("method", "unknown"))
    name = str(forgotten.benchmark.get("name", "unknown"))
    lines = [
        *_front_matter(method, transformers=load == LOAD),
        f"# {trial} after epoch {epoch}: {method} on {name}",
        "",
        f"**{measured.verdict[0].upper()}{measured.verdict[1:]}.**",
        "",
        "It was fine-tuned on data that it memorised (the *target model*), then trained to forget a part of them. What "
        "it is compared with is the *retain model*, which never saw that part.",
        "",
        "## What was to be forgotten",
        "",
        *_forgotten(forgotten),
        "",
        "## How well",
        "",
        *_metrics(measured),
        "",
        "`forget_quality` is the p-value of a test that tells this model's answers about the forgotten rows from the "
        "retain model's: large is good, and no proof. Attacks, where they were made, are in the records of the sweep.",
        "",
        "## How it was made",
        "",
        *_table(("setting", "value"), [*_settings(made.recipe), *_settings(made.settings)]),
        "",
        "## Loading it",
        "",
        "Verify it first: `manifest.json` has the SHA-256 of every file, this one included.",
        "",
        "```python",
        load,
        "```",
        "",
        "`letheon evaluate FOLDER` measures it again.",
        "",
    ]
    return "\n".join(lines)


def body(card: str) -> str:
    """The card without its front matter."""
    if not card.startswith("---\n"):
        return card
    return card.partition("\n---\n")[2].lstrip("\n")


def _front_matter(method: str, transformers: bool) -> list[str]:
    library = ["library_name: transformers", "pipeline_tag: text-generation"] if transformers else []
    return ["---", *library, f"tags: [unlearning, letheon, {method}]", "---", ""]


def _forgotten(forgotten: Forgotten) -> list[str]:
    benchmark = {key: value for key, value in forgotten.benchmark.items() if value is not None and key not in _PATHS}
    lines = [f"- benchmark: {', '.join(f'{key} {_text(value)}' for key, value in benchmark.items())}"]
    lines.append(f"- forget fraction: {forgotten.fraction:g}")
    if forgotten.rows is not None:
        lines.append(f"- rows: {forgotten.rows}")
    if forgotten.digest is not None:
        lines.append(f"- SHA-256 of the rows: `{forgotten.digest}`")
    return lines


def _metrics(measured: Measured) -> list[str]:
    columns = (measured.checkpoint, measured.target, measured.retain)
    names = [name for name in measured.checkpoint if name not in _NOT_SHOWN and not name.endswith(_SECONDS)]
    rows = [(f"`{name}`", *(_number(column.get(name)) for column in columns)) for name in sorted(names)]
    return _table(("metric", *_COLUMNS), [row for row in rows if set(row[1:]) != {""}])


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if value is not None:
            yield f"`{name}`", _text(value)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _number(value: Any) -> str:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if known else ""
