"""Rules for the trial section that no other test of sweep files covers."""

from __future__ import annotations

import pytest

from letheon.common.errors import SpecErrors
from letheon.spec.load import load_spec


def test_recipes_other_than_exact_need_bf16_without_sharding() -> None:
    for wrong in (
        ["trial.precision=fp32"],
        ["trial.precision=bf16", "trial.deepspeed={zero_optimization: {stage: 2}}"],
    ):
        with pytest.raises(SpecErrors, match=r"memory.*needs precision bf16 and ZeRO stage 0"):
            load_spec("quickstart", ["trial.memory=remainder", *wrong])
    assert load_spec("quickstart", ["trial.memory=remainder", "trial.precision=bf16"]).trial.memory == "remainder"


def test_goldfish_masks_exclude_published_counts_of_tokens() -> None:
    masked = "search.goldfish_retain={choice: [0, 0.25]}"
    with pytest.raises(SpecErrors, match=r"goldfish_retain.*trial.compat npo counts them all"):
        load_spec("quickstart", [masked, "trial.compat=npo"])
    with pytest.raises(SpecErrors, match=r"goldfish_retain.*less than or equal to 0.5|<= 0.5"):
        load_spec("quickstart", ["search.goldfish_retain=0.7"])
    spec = load_spec("quickstart", [masked, "model.recipe.goldfish=0.25"])
    assert spec.model.recipe.goldfish == 0.25
