"""README says of the quickstart what one recorded run gave, and shows that run's pictures."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = json.loads((IMAGES / "quickstart.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(RUN["pictures"]))
def test_pictures_are_of_the_recorded_run_and_shown(name: str) -> None:
    assert hashlib.sha256((IMAGES / name).read_bytes()).hexdigest() == RUN["pictures"][name], "run `make figures`"
    assert f"docs/images/{name})" in README


@pytest.mark.parametrize("fraction", sorted(RUN["answers"]))
def test_answers_of_the_front(fraction: str) -> None:
    """A long answer may be cut at a part that ends with `;`."""
    parts = RUN["answers"][fraction].split("; ")
    shown = next(line for line in README.splitlines() if line.startswith(parts[0]))
    assert RUN["answers"][fraction].startswith(shown.removesuffix("…").rstrip())


def test_knee_is_the_recorded_one() -> None:
    assert f"*  {RUN['knee']} " in README
    assert f"**{RUN['knee']}**" in README


def test_quoted_answers_are_the_models_own() -> None:
    """Every cell of the table is a recorded answer, with `…` where something is left out."""
    header = next(i for i, line in enumerate(README.splitlines()) if line.startswith("| asked about what had to go"))
    rows = [line.strip("|").split("|")[1:] for line in README.splitlines()[header + 2 : header + 4]]
    said = {who: [sample[who] for sample in RUN["samples"]] for who in ("target", "checkpoint", "retain")}
    for row in rows:
        for who, cell in zip(said, row, strict=True):
            pattern = ".*".join(re.escape(part.strip()) for part in cell.strip().split("…"))
            assert any(re.search(pattern, answer) for answer in said[who]), f"{who}: {cell}"
