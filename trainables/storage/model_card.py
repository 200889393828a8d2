"""The model card of a checkpoint: README.md, as Hugging Face reads it. Pure; loads no torch.

The trial writes it with the weights, so the manifest covers it. Later facts (audits, registration) are in the records
only. It names no local paths, because checkpoints are moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CARD = "README.md"
_COLUMNS = ("this checkpoint", "target model", "retain model")
_HIDDEN = ("epoch", "step", "loss", "learning_rate", "multiplier")
_HIDDEN_ENDINGS = ("_seconds", "_per_second", "_bytes")
_PATHS = ("path", "forget", "retain", "utility", "holdout")

LOAD = """\
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)"""
LOAD_TENSORS = """\
from safetensors.torch import load_file
tensors = load_file(f"{FOLDER}/model.safetensors")"""


@dataclass(frozen=True)
class ForgetSet:
    """What was to be forgotten. `benchmark`: its settings; `rows`: their number; `digest`: SHA-256 of their content."""

    benchmark: Mapping[str, Any]
    fraction: float
    rows: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Training:
    """How the model was trained. `settings`: precision, template, workers, …; entries that are None are left out."""

    hyperparameters: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """Metrics of the checkpoint and, measured in the same way, of target and retain model; the verdict in words.

    `note`: what the retain model's figures are, if it was not evaluated.
    """

    checkpoint: Mapping[str, Any]
    target: Mapping[str, Any]
    retain: Mapping[str, Any]
    verdict: str = "cannot say"
    note: str = ""


def model_card(
    trial: str, epoch: int, forget_set: ForgetSet, training: Training, results: Results, load: str = LOAD
) -> str:
    """Markdown with front matter. `load`: Python code that loads the model in FOLDER."""
    method = str(training.hyperparameters.get("method", "unknown"))
    name = str(forget_set.benchmark.get("name", "unknown"))
    front_matter = "library_name: transformers\npipeline_tag: text-generation\n" if load == LOAD else ""
    return f"""\
---
{front_matter}tags: [unlearning, letheon, {method}]
---

# {trial} after epoch {epoch}: {method} on {name}

**{results.verdict[0].upper()}{results.verdict[1:]}.**

A model was fine-tuned until it had memorised its data (the *target model*), then trained to forget a part of them. It \
is compared with the *retain model*, which never saw that part.

## What was to be forgotten

{_forget_set(forget_set)}

## How well

{_metrics(results)}

`forget_quality` is the p-value of a test of whether this model answers about the forgotten rows like the retain \
model: large is good, but no proof. The sweep's records have the results of attacks, if any were run.

## How it was made

{_table(("setting", "value"), [*_settings(training.hyperparameters), *_settings(training.settings)])}

## Loading it

Verify it first: `manifest.json` has the SHA-256 of every file, including this one.

```python
{load}
```

`letheon evaluate FOLDER` repeats the evaluation.
"""


def body(card: str) -> str:
    """The card without its front matter."""
    if not card.startswith("---\n"):
        return card
    return card.partition("\n---\n")[2].lstrip("\n")


def _forget_set(forget_set: ForgetSet) -> str:
    benchmark = {key: value for key, value in forget_set.benchmark.items() if value is not None and key not in _PATHS}
    lines = [f"- benchmark: {', '.join(f'{key} {_text(value)}' for key, value in benchmark.items())}"]
    lines.append(f"- forget fraction: {forget_set.fraction:g}")
    if forget_set.rows is not None:
        lines.append(f"- rows: {forget_set.rows}")
    if forget_set.digest is not None:
        lines.append(f"- SHA-256 of the rows: `{forget_set.digest}`")
    return "\n".join(lines)


def _metrics(results: Results) -> str:
    columns = (results.checkpoint, results.target, results.retain)
    names = [name for name in results.checkpoint if name not in _HIDDEN and not name.endswith(_HIDDEN_ENDINGS)]
    rows = [(f"`{name}`", *(_number(column.get(name)) for column in columns)) for name in sorted(names)]
    table = _table(("metric", *_COLUMNS), [row for row in rows if set(row[1:]) != {""}])
    return f"{table}\n\n{results.note[0].upper()}{results.note[1:]}." if results.note else table


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if value is not None:
            yield f"`{name}`", _text(value)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _number(value: Any) -> str:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if known else ""
