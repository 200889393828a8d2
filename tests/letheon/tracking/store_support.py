"""A finished sweep in a real tracking store, to be pulled from and tampered with."""

from __future__ import annotations

import shutil
from pathlib import Path

from letheon.tracking.store.connection import local_folder
from tests.letheon.tracking.tracking_support import recorded_trials, save_and_register


class Store:
    """Finished sweeps in an MLflow store of their own, whose artifact folder tests can change."""

    def __init__(self, root: Path, empty_store: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        shutil.copyfile(empty_store, root / "mlflow.db")
        self.uri = f"sqlite:///{root / 'mlflow.db'}"
        self.trials = root / "trials"

    def add(self, study: str, sweep: str) -> None:
        save_and_register(self.root, self.uri, study, sweep, trials=self.trials / study)

    def checkpoint(self, study: str, trial: str = "t002", epoch: int = 1) -> Path:
        folder = local_folder(str(recorded_trials(self.uri, study)[trial].info.artifact_uri))
        assert folder is not None
        return folder / "checkpoints" / f"epoch-{epoch:03d}"
