"""The limits of a sweep, and which one has been reached. Pure."""

from __future__ import annotations

from pydantic import Field

from letheon.common.counting import several
from letheon.journal.usage import Spent
from trainables.config import Frozen


class BudgetSpec(Frozen):
    """How much a sweep may try. Null: no such limit; a grid ends by itself."""

    trials: int | None = Field(default=None, ge=1, description="trials that are started")
    epochs: int | None = Field(default=None, ge=1, description="epochs of all trials together")
    gpu_hours: float | None = Field(default=None, gt=0, description="hours of GPUs that trials hold")
    wall_hours: float | None = Field(default=None, gt=0, description="hours of the sweep, preparation included")
    plateau: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        exclude_if=lambda value: value is None,
        description="start no more trials once the next 8 of every fraction are expected to add less than this share "
        "to its hypervolume; null: never",
    )

    @property
    def limits(self) -> dict[str, float]:
        """The amounts that are set, by name; not `plateau`, which is none."""
        names = (name for name in type(self).model_fields if name != "plateau")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def reached(budget: BudgetSpec, spent: Spent) -> str | None:
    """The first limit that is used up, as text; None while all limits have something left."""
    for name, limit in budget.limits.items():
        used = getattr(spent, name)
        if used >= limit:
            noun = name.replace("_", " ").removesuffix("s")
            return f"budget.{name}: {used:g} of {several(limit, noun)} {'is' if limit == 1 else 'are'} used"
    return None
