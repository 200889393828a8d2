"""Keeps the driver's credentials out of what Ray writes down."""

from __future__ import annotations

PREFIX = "AWS_"


def keep_credentials() -> None:
    """Ray Tune would hand its actors `AWS_SECRET_ACCESS_KEY` and the like in their runtime environment, which Ray's
    agents write to their logs in clear. Slots write to the root only, so they need none of it."""
    from ray.tune.execution import class_cache

    names = class_cache.ENV_VARS_TO_PROPAGATE
    names.difference_update([name for name in names if name.startswith(PREFIX)])
