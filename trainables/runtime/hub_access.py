"""Checks once whether the Hugging Face hub answers, so that offline runs do not wait for its client's retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_TIMEOUT_SECONDS = 5.0


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Within the block the hub's libraries use only their local cache if the hub does not answer."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if before or _responds(constants.ENDPOINT):
        yield
        return
    import datasets.config

    datasets_before = datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before, datasets_before


@lru_cache(maxsize=4)
def _responds(endpoint: str) -> bool:
    """Whether the endpoint sends any HTTP response, through the environment's proxies."""
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=_TIMEOUT_SECONDS).close()
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True
