"""A store for a module's tests, in which each test has a study of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of one store for the module."""
    return f"sqlite:///{shutil.copyfile(empty_store, tmp_path_factory.mktemp('store') / 'mlflow.db')}"


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """A study named after the test."""
    return str(request.node.name).replace("[", "-").replace("]", "")
