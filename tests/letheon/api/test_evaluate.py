"""Which evaluation a model folder gets from `letheon evaluate` and `letheon.evaluate`, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letheon.api.evaluate import Evaluation, card_of
from letheon.api.functions import evaluate
from letheon.common.errors import LetheonError, NotFound
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


def test_python_has_the_errors_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not a Hugging Face model folder"):
        evaluate(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(LetheonError, match="--benchmark"):
        evaluate(tmp_path)
    with pytest.raises(LetheonError, match=r"fraction 10: must be a share, 0 to 1; write 0\.1"):
        evaluate(tmp_path, "quickstart", fraction=10)
    with pytest.raises(LetheonError, match="did you mean"):
        evaluate(tmp_path, "quikstart")
    with pytest.raises(LetheonError, match="there is no folder"):
        evaluate(tmp_path, "quickstart", out=tmp_path / "no" / "rows.json")


def test_an_evaluation_shows_other_models_beside_this_one() -> None:
    result = {
        "metrics": {"model_utility": 0.5, "forget_rouge": 0.25},
        "beside": {"target": {"forget_rouge": 0.75}, "retain": {}},
        "verdict": {"name": "forgotten", "reasons": ["p = 0.2"]},
    }
    found = Evaluation(result)
    assert (found.metrics, found.verdict) == (result["metrics"], "forgotten")
    frame = found.frame()
    assert list(frame.columns) == ["this model", "target model"] and list(frame.index) == list(found.metrics)
    assert frame.loc["forget_rouge", "target model"] == 0.75
    page = found._repr_html_()
    assert "forgotten" in page and "p = 0.2" in page and "0.75" in page and "nan" not in page
    assert Evaluation({"metrics": {}}).verdict is None
