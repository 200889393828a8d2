"""An empty tracking store, made once: MLflow takes seconds for its tables, a copy of the file takes none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from letheon.tracking.store.connection import open_client


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an SQLite store with MLflow's tables and nothing in them."""
    file = tmp_path_factory.mktemp("empty-store") / "mlflow.db"
    client = open_client(f"sqlite:///{file}")
    client.search_experiments()
    return file


@pytest.fixture
def fresh_store(empty_store: Path, tmp_path: Path) -> str:
    """The URI of a store of the test's own."""
    file = tmp_path / "mlflow.db"
    shutil.copyfile(empty_store, file)
    return f"sqlite:///{file}"
