"""When a trial's state is saved. Pure."""

from __future__ import annotations

MOST_REPEATED_SECONDS = 300.0
"""A crash repeats at most this much training, or one epoch if that takes longer."""

MOST_SHARE = 0.05
"""A state that is not required yet is saved if that takes at most this share of the training it saves."""


def must_save_state(unsaved: float, next_epoch: float, cost: float) -> bool:
    """Whether to save the state now, between two epochs.

    A crash in the next epoch repeats the unsaved training and what it did of that epoch.

    Args:
        unsaved: seconds of training since the last saved state.
        next_epoch: seconds that the next epoch may take.
        cost: seconds that saving takes; infinite if nothing is known.
    """
    return unsaved + next_epoch > MOST_REPEATED_SECONDS or cost <= MOST_SHARE * unsaved
