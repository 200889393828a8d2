"""What a checkpoint's model card must say, and what it must not."""

from __future__ import annotations

from typing import Any

import yaml

from trainables.storage.model_card import LOAD_TENSORS, ForgetSet, Results, Training, body, model_card

RECIPE = {"method": "npo_rt", "learning_rate": 3e-5, "beta": 0.1}


def card(load: str | None = None, **metrics: Any) -> str:
    benchmark = {"name": "qa", "path": None, "forget": "/home/someone/secret.jsonl", "evaluation_rows": 40}
    forget_set = ForgetSet(benchmark, 0.1, 40, "c0ffee")
    training = Training(RECIPE, {"precision": "bf16", "lora": None, "deepspeed": {"zero_optimization": {"stage": 2}}})
    results = Results(
        {"epoch": 3, "step": 15, "train_seconds": 9.0, "model_utility": 0.61, **metrics},
        {"model_utility": 0.64},
        {"model_utility": 0.63},
    )
    return model_card("t003", 3, forget_set, training, results, *([load] if load else []))


def test_it_describes_forget_set_metrics_training_and_loading() -> None:
    text = card(forget_quality=float("nan"), only_here=0.5, flag=True)
    assert "`c0ffee`" in text and "| `model_utility` | 0.61 | 0.64 | 0.63 |" in text
    assert '| `deepspeed` | {"zero_optimization": {"stage": 2}} |' in text and "| `learning_rate` | 3e-05 |" in text
    assert "| `only_here` | 0.5 |  |  |" in text and "| `forget_quality` | nan |  |  |" in text
    assert not any(word in text.replace("explora", "") for word in ("lora", "train_seconds", "flag"))


def test_it_names_no_local_path() -> None:
    assert "/home" not in card() and "secret" not in card()


def test_the_front_matter_is_valid_for_hugging_face() -> None:
    matter = yaml.safe_load(card().split("---")[1])
    assert matter == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["unlearning", "letheon", "npo_rt"],
    }
    assert yaml.safe_load(card(LOAD_TENSORS).split("---")[1]) == {"tags": ["unlearning", "letheon", "npo_rt"]}
    assert body(card()).startswith("# t003") and body("# plain") == "# plain"
