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
