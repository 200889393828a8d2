"""What every test shares: an empty home, a quiet, offline environment, the property-test profile, and one local Ray.

Nothing here knows a single test. Ray is started once, since that costs seconds, and only when a test asks for it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import home

_BEFORE = home.listing()
home.move()

# Before any library reads them: no test may ask a hub or tell anybody, and libraries must not print over pytest.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# What a shell has started in the background ignores Ctrl-C, and so do its children; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline per example: on a busy machine the first call pays for imports, which says nothing about the property.
settings.register_profile("letheon", deadline=None, max_examples=60, print_blob=True)
settings.load_profile("letheon")


@pytest.hookimpl(trylast=True)  # among those that are left to run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one of several processes: files that ask for much time come first, so that none is left alone with one."""
    patience: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        patience[item.path] = max(patience.get(item.path, 0.0), mark.args[0] if mark else 0.0)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: -patience[item.path])


@pytest.fixture(scope="session", autouse=True)
def untouched_home() -> Iterator[None]:
    """At the end, whatever the tests were: nothing is new in the home of whoever runs them, where that can be told."""
    yield
    new = (home.listing() or set()) - (_BEFORE or set())
    assert not new, f"new in {home.REAL}, which is not the tests': {sorted(new)}"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with two CPUs, shared by all tests that ask for it."""
    from letheon.cluster.session import ray_session as session

    with session(address=None):
        yield
