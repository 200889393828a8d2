"""README reports what one recorded run of the quickstart gave, and the docs show that run's pictures."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
README = (ROOT / "README.md").read_text(encoding="utf-8")
DASHBOARD = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
RUN = json.loads((IMAGES / "quickstart.json").read_text(encoding="utf-8"))
QUOTE = re.compile(r"^  (target model|retain model|t\d+@\d+) +(\S.*)$", re.MULTILINE)


@pytest.mark.parametrize("name", sorted(RUN["pictures"]))
def test_pictures_are_of_the_recorded_run_and_shown(name: str) -> None:
    assert hashlib.sha256((IMAGES / name).read_bytes()).hexdigest() == RUN["pictures"][name], "run `make figures`"
    assert f"(docs/images/{name})" in README or f"(images/{name})" in DASHBOARD


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
    """Every question is a recorded one; so is every answer, with `…` where something is left out."""
    key = {"target model": "target", RUN["knee"]: "checkpoint", "retain model": "retain"}
    questions = [sample for sample in RUN["samples"] if f"\n{sample['prompt']}\n" in README]
    quotes = QUOTE.findall(README)
    assert len(questions) == 2 and len(quotes) == 3 * len(questions)
    for who, text in quotes:
        pattern = ".*".join(re.escape(part.strip()) for part in text.split("…"))
        assert any(re.search(pattern, sample[key[who]]) for sample in questions), f"{who}: {text}"
