"""Optimizer states of bf16 trials at ZeRO stage 0, between the two optimizers that may have written them.

`Bf16AdamW` under the recipe `exact` and DeepSpeed's optimizer around `torch.optim.AdamW` keep the same numbers: float32
masters, both moments, the count of steps. Pure: only their places change, no bit of them does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

_MASTERS, _ADAM = "fp32_groups", "optimizer_state_dict"  # DeepSpeed's names
_NAMES = {"mean": "exp_avg", "square": "exp_avg_sq"}  # ours: torch's


def as_own(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state for `Bf16AdamW.load_state_dict`, from one that either has saved."""
    if _MASTERS not in state:
        return state
    masters = [master for group in state[_MASTERS] for master in group]
    adam: Mapping[int, Mapping[str, Tensor]] = state[_ADAM]["state"]
    found = [
        {"master": master, **{name: adam[i][theirs].view_as(master) for name, theirs in _NAMES.items()}}
        for i, master in enumerate(masters)
    ]
    taken = max((int(of_weight["step"]) for of_weight in adam.values()), default=0)
    return {"taken": torch.tensor(taken), "state": found}


def as_deepspeed(state: Mapping[str, Any], fresh: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state for DeepSpeed's optimizer, from one that either has saved. `fresh`: its own state now.

    Raises ValueError if the state is not of the recipe `exact`.
    """
    if _MASTERS in state:
        return state
    saved: Sequence[Mapping[str, Tensor]] = state.get("state", ())
    sizes = [len(group) for group in fresh[_MASTERS]]
    if len(saved) != sum(sizes) or any(
        each.keys() != {"master", *_NAMES} or each["master"].dtype != torch.float32 for each in saved
    ):
        raise ValueError(
            "the optimizer's saved state must have float32 masters and moments (trial.memory exact), since Letheon's "
            "own optimizer step is off in this process (`letheon doctor --fast-paths` says why); continue on a machine "
            "where it is on, or start the trial again"
        )
    step = state["taken"].cpu().float()
    adam = {
        i: {"step": step.clone(), **{theirs: each[name] for name, theirs in _NAMES.items()}}
        for i, each in enumerate(saved)
    }
    masters = iter([each["master"] for each in saved])
    groups = [list(islice(masters, size)) for size in sizes]
    return {**fresh, _MASTERS: groups, _ADAM: {**fresh[_ADAM], "state": adam}}
