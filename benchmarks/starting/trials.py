"""The trials of a finished sweep, as configurations to run them in another way."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from letheon.preparation.layout import layout
from letheon.spec.load import load_spec
from letheon.sweep.trial_config import trial_config
from trainables.config import Hyperparameters


def letheon() -> str:
    """The command that was installed with this Python."""
    return str(Path(sys.executable).parent / "letheon")


def configs_of(root: Path, name: str, folder: Path) -> list[dict[str, Any]]:
    """In the order in which they were started; each trial gets a folder of its own below `folder`."""
    sweep = root / "sweeps" / name
    spec = load_spec(sweep / "spec.yaml")
    prepared = layout(spec, root)
    rows = [json.loads(line) for line in (sweep / "journal.jsonl").open()]
    return [
        trial_config(
            spec, prepared, row["trial"], Hyperparameters.model_validate(row["config"]), folder / row["trial"]
        ).model_dump(mode="json")
        for row in rows
        if row["kind"] == "trial"
    ]
