"""Texts that a sweep's models generated, before and after unlearning and under attack, from the sweep's folder.

The same two shapes are artifacts of a trial's run in MLflow, `samples.json` and `audits.json`. Epoch 0 is the untouched
target model. An epoch whose file is missing or damaged is left out. Texts are not trusted HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from letheon.journal import Row, jsonable, trial_row
from trainables.storage.manifest import read_json

SAMPLES = "samples.json"
AUDITS = "audits.json"
FIELDS = ("set", "prompt", "answer", "generated")


def samples_of(folder: Path, rows: Iterable[Row], trial: str) -> dict[str, Any]:
    """{"trial", "epochs": {"0": [{"set", "prompt", "answer", "generated"}, …], "3": […]}, "retain": […]} of one trial.

    `retain`: texts of the retain model. `folder`: the sweep's. Raises UnknownTrial.
    """
    rows = list(rows)
    stratum = trial_row(rows, trial)["stratum"]
    baseline = read_json(_baseline_file(folder, rows, stratum)) or {}
    target, retain = (_samples(_mapping(baseline.get(model))) for model in ("target", "retain"))
    found = {0: target}
    for file in (folder / "trials" / trial).glob("epoch-*/metrics.json"):
        number = file.parent.name.removeprefix("epoch-")
        if number.isdecimal():
            found[int(number)] = _samples(read_json(file) or {})
    epochs = {str(epoch): found[epoch] for epoch in sorted(found) if found[epoch]}
    return {"trial": trial, "epochs": epochs, "retain": retain}


def audits_of(rows: Iterable[Row], trial: str) -> dict[str, Any]:
    """{"trial", "epochs": {"3": {"samples": {attack: […]}, "metrics": {name: value}}}}: a trial under attack."""
    epochs = {}
    for row in sorted(
        (row for row in rows if row["kind"] == "audit" and row["trial"] == trial), key=lambda row: int(row["epoch"])
    ):
        attacks = _mapping((read_json(Path(str(row.get("file") or ""))) or {}).get("samples"))
        samples = {str(attack): _samples({"samples": texts}) for attack, texts in attacks.items()}
        epochs[str(row["epoch"])] = {"samples": samples, "metrics": jsonable(row["metrics"])}
    return {"trial": trial, "epochs": epochs}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _baseline_file(folder: Path, rows: Iterable[Row], stratum: str) -> Path:
    """The file that the journal names, among the models of the sweep's root."""
    names = [row["info"].get("baseline", {}).get(stratum) for row in rows if row["kind"] == "sweep" and row.get("info")]
    name = next((str(name) for name in reversed(names) if name), "")
    return folder.parent.parent / "models" / Path(name).name


def _samples(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """The samples of a record, with a trial's `question` as `prompt`; samples of attacks have no `set`."""
    texts = record.get("samples")
    found = []
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, Mapping):
            named = {"prompt": text.get("question", ""), "answer": "", "generated": "", **text}
            found.append({field: str(named[field]) for field in FIELDS if field in named})
    return found
