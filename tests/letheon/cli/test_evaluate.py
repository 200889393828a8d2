"""`letheon evaluate`: which evaluation a model folder gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letheon.cli.evaluate import card_of
from letheon.spec.load import load_spec
from tests.letheon.cli.command import run

LARGEST = max(load_spec("quickstart").fractions)
CARD = {
    "benchmark": load_spec("quickstart").benchmark.model_dump(mode="json"),
    "forget_fraction": LARGEST,
    "evaluation": load_spec("quickstart").evaluation.model_dump(mode="json"),
    "precision": "fp32",
    "template": "plain",
    "yardstick": {"truth_ratios": [0.5, 0.6]},
    "target_utility": 0.9,
    "verdict": load_spec("quickstart").verdict.model_dump(mode="json"),
}


def test_a_pulled_folder_is_evaluated_as_it_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "letheon.json").write_text(json.dumps(CARD))
    assert card_of(tmp_path, None, None) == CARD
    assert card_of(tmp_path, load_spec("quickstart"), None) == CARD


@pytest.mark.parametrize(("override", "fraction"), [("benchmark.seed=1", None), ("benchmark.seed=0", 0.1)])
def test_another_evaluation_has_no_numbers_of_the_retain_model(
    override: str, fraction: float | None, tmp_path: Path
) -> None:
    (tmp_path / "letheon.json").write_text(json.dumps(CARD))
    card = card_of(tmp_path, load_spec("quickstart", [override]), fraction)
    assert set(CARD) - set(card) == {"yardstick", "target_utility"}
    assert card["forget_fraction"] == (fraction or LARGEST)


def test_a_folder_without_a_card_needs_a_benchmark(tmp_path: Path) -> None:
    assert run("evaluate", str(tmp_path)).exit_code == 4
    (tmp_path / "config.json").write_text("{}")
    result = run("evaluate", str(tmp_path))
    assert result.exit_code == 2
    assert "--benchmark" in result.stderr
