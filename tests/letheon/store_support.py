"""A finished sweep in a real tracking store, to be pulled from and tampered with."""

from __future__ import annotations

from pathlib import Path

from letheon.tracking import Tracker
from letheon.tracking.store import local_folder, open_client
from tests.letheon.tracking_support import SPEC, front, save_front, story


class Store:
    """A finished sweep in an MLflow of its own; the tests plant things in its artifact folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = f"sqlite:///{root / 'mlflow.db'}"
        self.trials = root / "trials"

    def add(self, study: str, sweep: str) -> None:
        rows = story()
        table = front(rows, sweep)
        trials = self.trials / study
        save_front(trials, table)
        Tracker(self.root, study, sweep, SPEC, self.uri).finish(table, rows, trials)

    def checkpoint(self, study: str, trial: str = "t002", epoch: int = 1) -> Path:
        client = open_client(self.uri)
        experiment = client.get_experiment_by_name(study)
        assert experiment is not None
        [run] = client.search_runs([experiment.experiment_id], f"tags.`letheon.trial_id` = '{trial}'")
        folder = local_folder(str(run.info.artifact_uri))
        assert folder is not None
        return folder / "checkpoints" / f"epoch-{epoch:03d}"
